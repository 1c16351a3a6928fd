//! The same question asked several times.

/// Values of one attribute over the samples of one case.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Repeats {
    /// How many samples had an answer.
    pub count: u32,
    /// Their mean.
    pub mean: f64,
    /// Their variance, with n − 1 below; `None` for a single sample, which says nothing of stability.
    pub variance: Option<f64>,
}

impl Repeats {
    /// `None` without values.
    pub(super) fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let variance = (values.len() > 1).then(|| squares / (count - 1.0));
        Some(Self { count: values.len() as u32, mean, variance })
    }
}

/// The mean of what there is, `None` for nothing.
pub(super) fn mean<T: Into<f64>>(values: impl IntoIterator<Item = T>) -> Option<f64> {
    let values: Vec<f64> = values.into_iter().map(Into::into).collect();
    Repeats::of(&values).map(|repeats| repeats.mean)
}
