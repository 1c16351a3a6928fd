//! What a buyer wrote about a purchase, as a narrator takes it: a vector that whoever asks has made of the text.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The vector of a review, made by the encoder that the narrator was trained with. It stands in no table of the bundle, but comes
/// with the history: users who were never seen have written reviews too.
///
/// Cheap to clone: the requests whose histories hold the same purchase share it. In JSON it is a list of numbers.
///
/// ```
/// use regen_narrator::{Detail, ReviewVector};
///
/// let review = ReviewVector::new(vec![0.25, -1.0]);
/// let detail = Detail { review: Some(review.clone()), ..Detail::default() };
/// assert_eq!(serde_json::to_string(&detail)?, r#"{"review":[0.25,-1.0]}"#);
/// assert_eq!(review.values(), [0.25, -1.0]);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Serialize, Deserialize)]
#[serde(from = "Vec<f32>", into = "Vec<f32>")]
pub struct ReviewVector(Arc<[f32]>);

impl ReviewVector {
    /// Of these numbers. A narrator refuses those that are not finite.
    pub fn new(values: Vec<f32>) -> Self {
        Self(values.into())
    }

    /// The numbers.
    pub fn values(&self) -> &[f32] {
        &self.0
    }

    fn bits(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().map(|value| value.to_bits())
    }
}

impl From<Vec<f32>> for ReviewVector {
    fn from(values: Vec<f32>) -> Self {
        Self::new(values)
    }
}

impl From<ReviewVector> for Vec<f32> {
    fn from(vector: ReviewVector) -> Self {
        vector.0.to_vec()
    }
}

impl fmt::Debug for ReviewVector {
    /// Its width alone: messages that show a detail should stay readable.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReviewVector({} numbers)", self.0.len())
    }
}

// Bit by bit, since prompts are told apart and runs are known by them.
impl Ord for ReviewVector {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bits().cmp(other.bits())
    }
}

impl PartialOrd for ReviewVector {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ReviewVector {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for ReviewVector {}

impl Hash for ReviewVector {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.len().hash(state);
        self.bits().for_each(|bits| bits.hash(state));
    }
}
