//! Reviews: who said what of which item, when, and how many stars they gave.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize as DeriveDeserialize, Serialize};

use super::values::{Flag, Helpful, Number, Text};
use crate::records::{OnError, Place, RecordLines, Skipped};
use crate::time;
use crate::{Error, Result};

/// One review, as it stands in the file: nothing is cleaned, so that nothing is lost.
#[derive(Clone, Debug, PartialEq, Serialize, DeriveDeserialize)]
pub struct Review {
    /// The user's name.
    pub user: String,
    /// The item's name.
    pub item: String,
    /// Stars, 1 to 5 in these releases.
    pub rating: Option<f32>,
    /// The heading.
    pub title: Option<String>,
    /// The text.
    pub text: Option<String>,
    /// Seconds since 1970-01-01 UTC. Whole days in 2014 and 2018.
    pub time: Option<i64>,
    /// Whether the shop knows of the purchase.
    pub verified: Option<bool>,
    /// How many readers found it helpful.
    pub helpful_votes: Option<u32>,
}

/// A review that is borrowed from its line. See [`Reviews::visit`].
#[derive(Clone, Debug, PartialEq)]
pub struct ReviewRef<'a> {
    /// The user's name.
    pub user: Cow<'a, str>,
    /// The item's name.
    pub item: Cow<'a, str>,
    /// Stars.
    pub rating: Option<f32>,
    /// The heading.
    pub title: Option<Cow<'a, str>>,
    /// The text.
    pub text: Option<Cow<'a, str>>,
    /// Seconds since 1970-01-01 UTC.
    pub time: Option<i64>,
    /// Whether the shop knows of the purchase.
    pub verified: Option<bool>,
    /// How many readers found it helpful.
    pub helpful_votes: Option<u32>,
}

impl ReviewRef<'_> {
    /// A copy that outlives the line.
    pub fn into_owned(self) -> Review {
        Review {
            user: self.user.into_owned(),
            item: self.item.into_owned(),
            rating: self.rating,
            title: self.title.map(Cow::into_owned),
            text: self.text.map(Cow::into_owned),
            time: self.time,
            verified: self.verified,
            helpful_votes: self.helpful_votes,
        }
    }
}

/// The reviews of one file, in its order; memory is bounded by the longest line.
///
/// A review needs a user and an item, both not empty; everything else may be missing. A rating or time that is no
/// number counts as missing. An empty heading or text is kept as `None`.
pub struct Reviews {
    lines: RecordLines,
}

impl Reviews {
    /// Opens a file of reviews of any release.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read.
    pub fn open(path: impl AsRef<Path>, on_error: OnError) -> Result<Self> {
        Ok(Self { lines: RecordLines::open(path.as_ref(), on_error)? })
    }

    /// Gives every review that is left to `each`, without copying it: the fast way when little is kept.
    ///
    /// # Errors
    /// As the iterator, and whatever `each` returns, which ends the reading.
    pub fn visit(&mut self, each: impl FnMut(ReviewRef<'_>) -> Result<()>) -> Result<()> {
        self.visit_with::<true>(each)
    }

    /// As [`Reviews::visit`], with neither heading nor text, which are passed over unread: most of the time of parsing goes
    /// into them. So a line is not bad because of them either, as long as it is JSON.
    ///
    /// # Errors
    /// As [`Reviews::visit`].
    pub fn visit_purchases(&mut self, each: impl FnMut(ReviewRef<'_>) -> Result<()>) -> Result<()> {
        self.visit_with::<false>(each)
    }

    fn visit_with<const TEXTS: bool>(
        &mut self,
        mut each: impl FnMut(ReviewRef<'_>) -> Result<()>,
    ) -> Result<()> {
        // An error of `each` is no bad line: it must not be skipped.
        let mut refused: Option<Error> = None;
        while let Some(step) = self.lines.next_with(|line, place| {
            let review = parse::<TEXTS>(line, place)?;
            if let Err(error) = each(review) {
                refused = Some(error);
            }
            Ok(())
        }) {
            step?;
            if let Some(error) = refused.take() {
                return Err(error);
            }
        }
        Ok(())
    }

    /// The lines that were left out so far.
    pub fn skipped(&self) -> &Skipped {
        self.lines.skipped()
    }
}

impl Iterator for Reviews {
    type Item = Result<Review>;

    fn next(&mut self) -> Option<Self::Item> {
        self.lines.next_with(|line, place| parse::<true>(line, place).map(ReviewRef::into_owned))
    }
}

fn parse<'a, const TEXTS: bool>(line: &'a str, place: Place<'_>) -> Result<ReviewRef<'a>> {
    let raw: Raw<'a, TEXTS> = place.json(line)?;
    let name = |text: Option<Cow<'a, str>>| text.filter(|name| !name.trim().is_empty());
    Ok(ReviewRef {
        user: name(raw.user).ok_or_else(|| place.missing("user (reviewerID or user_id)"))?,
        item: name(raw.parent)
            .or(name(raw.item))
            .ok_or_else(|| place.missing("item (asin or parent_asin)"))?,
        rating: raw.rating.map(|rating| rating as f32),
        title: raw.title.filter(|title| !title.is_empty()),
        text: raw.text.filter(|text| !text.is_empty()),
        time: raw.time.map(|time| time::seconds(time as i64)),
        verified: raw.verified,
        helpful_votes: raw.votes.filter(|&votes| votes >= 0.0).map(|votes| votes as u32),
    })
}

#[derive(Default)]
struct Raw<'a, const TEXTS: bool> {
    user: Option<Cow<'a, str>>,
    item: Option<Cow<'a, str>>,
    parent: Option<Cow<'a, str>>,
    rating: Option<f64>,
    title: Option<Cow<'a, str>>,
    text: Option<Cow<'a, str>>,
    time: Option<f64>,
    verified: Option<bool>,
    votes: Option<f64>,
}

#[derive(DeriveDeserialize)]
enum Field {
    #[serde(rename = "reviewerID", alias = "user_id")]
    User,
    #[serde(rename = "asin")]
    Item,
    #[serde(rename = "parent_asin")]
    Parent,
    #[serde(rename = "overall", alias = "rating")]
    Rating,
    #[serde(rename = "summary", alias = "title")]
    Title,
    #[serde(rename = "reviewText", alias = "text")]
    Text,
    #[serde(rename = "unixReviewTime", alias = "timestamp")]
    Time,
    #[serde(rename = "verified", alias = "verified_purchase")]
    Verified,
    #[serde(rename = "vote", alias = "helpful_vote")]
    Votes,
    #[serde(rename = "helpful")]
    Helpful,
    #[serde(other)]
    Other,
}

impl<'de, const TEXTS: bool> Deserialize<'de> for Raw<'de, TEXTS> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Object<const TEXTS: bool>;
        impl<'de, const TEXTS: bool> Visitor<'de> for Object<TEXTS> {
            type Value = Raw<'de, TEXTS>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a review object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
                let mut raw = Raw::default();
                while let Some(field) = map.next_key()? {
                    match field {
                        Field::User => raw.user = map.next_value::<Text<'de>>()?.0,
                        Field::Item => raw.item = map.next_value::<Text<'de>>()?.0,
                        Field::Parent => raw.parent = map.next_value::<Text<'de>>()?.0,
                        Field::Rating => raw.rating = map.next_value::<Number>()?.0,
                        Field::Title | Field::Text if !TEXTS => {
                            map.next_value::<IgnoredAny>()?;
                        }
                        Field::Title => raw.title = map.next_value::<Text<'de>>()?.0,
                        Field::Text => raw.text = map.next_value::<Text<'de>>()?.0,
                        Field::Time => raw.time = map.next_value::<Number>()?.0,
                        Field::Verified => raw.verified = map.next_value::<Flag>()?.0,
                        Field::Votes => raw.votes = map.next_value::<Number>()?.0,
                        Field::Helpful => raw.votes = map.next_value::<Helpful>()?.0,
                        Field::Other => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(raw)
            }
        }
        deserializer.deserialize_map(Object::<TEXTS>)
    }
}
