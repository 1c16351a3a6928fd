//! Attributes with a definition and an anchored scale from 1 to 5.

use crate::error::{Error, Result};

use super::case::NarrativeKind;

/// Something that a narrative is judged by.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Attribute {
    /// A short name of lower-case letters, digits and `_`: the key in the rater's answer.
    pub name: String,
    /// What is judged, and what is not.
    pub definition: String,
    /// What the scores 1, 2, 3, 4 and 5 stand for.
    pub scale: [String; 5],
    /// Whether it only makes sense for narratives about an item.
    pub needs_item: bool,
}

/// A named set of attributes. Scores under different rubrics do not compare, so the name is part of signatures.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Rubric {
    /// The name; change it whenever a word of the attributes changes.
    pub name: String,
    /// The attributes, in the order in which they are asked.
    pub attributes: Vec<Attribute>,
}

fn attribute(name: &str, needs_item: bool, definition: &str, scale: [&str; 5]) -> Attribute {
    Attribute {
        name: name.to_owned(),
        definition: definition.to_owned(),
        scale: scale.map(str::to_owned),
        needs_item,
    }
}

impl Rubric {
    /// Veracity, personalisation, persuasiveness, relevance to the immediate context, and fluency.
    ///
    /// DIFFERENCE: the paper's raters judge the same qualities, but its wording is not published; this one is ours.
    pub fn standard() -> Self {
        let attributes = vec![
            attribute(
                "veracity",
                false,
                "Whether what the text says about the item and about the user's purchases is backed by the material. \
                 Taste, praise and plausible guesses that are worded as such are not errors; invented features, \
                 prices, colours or purchases are.",
                [
                    "The main claim is wrong, or most claims are contradicted by the material.",
                    "Several claims are contradicted or invented.",
                    "One clear error or invention; the rest is backed.",
                    "No contradiction; a detail goes beyond the material.",
                    "Every claim is backed by the material.",
                ],
            ),
            attribute(
                "personalisation",
                false,
                "Whether the text is about this user: it draws on what these purchases show and would not fit \
                 another buyer as well. Merely listing purchases is not enough.",
                [
                    "Would fit any buyer.",
                    "Touches a trait that most buyers share.",
                    "Names something of this user but does not use it.",
                    "Connects the message with a trait or purchase of this user.",
                    "Could only be about this user; several traits or purchases carry the message.",
                ],
            ),
            attribute(
                "persuasiveness",
                true,
                "Whether the text gives this user a good reason for the item. Loud words without a reason count \
                 against it. Judge the reason as if the facts were right; errors belong to veracity.",
                [
                    "Gives no reason, or puts the user off.",
                    "Only general praise.",
                    "A reason, but a weak one for this user.",
                    "A good reason for this user.",
                    "A specific, convincing reason that this user would act upon.",
                ],
            ),
            attribute(
                "relevance",
                true,
                "Whether the text serves the immediate context: the item at hand and what the user has just asked \
                 for, if anything is given.",
                [
                    "About something else.",
                    "Mentions the item or the request in passing only.",
                    "About the item, but misses what matters in this context.",
                    "About the item and mostly to the point.",
                    "Entirely about what matters here and now.",
                ],
            ),
            attribute(
                "fluency",
                false,
                "Whether the text reads well: grammar, coherence, no repetition, an end. Content is not judged.",
                [
                    "Broken or unreadable.",
                    "Many errors, repetition, or cut off.",
                    "Understandable with some errors or awkward spots.",
                    "Correct, with small blemishes.",
                    "Correct, natural and well composed.",
                ],
            ),
        ];
        Self { name: "regen-1".to_owned(), attributes }
    }

    /// The attributes that narratives of a kind are judged by.
    pub fn attributes_of(&self, kind: NarrativeKind) -> impl Iterator<Item = &Attribute> {
        self.attributes.iter().filter(move |attribute| kind.uses_item() || !attribute.needs_item)
    }

    /// The attribute of a name.
    ///
    /// # Errors
    /// [`Error::UnknownAttribute`].
    pub fn find(&self, name: &str) -> Result<&Attribute> {
        let unknown = || Error::UnknownAttribute { name: name.to_owned() };
        self.attributes.iter().find(|attribute| attribute.name == name).ok_or_else(unknown)
    }

    /// Whether every kind of narrative can be judged by it, and every name can be a key.
    ///
    /// # Errors
    /// [`Error::Rubric`] naming the attribute and what is wrong.
    pub fn validate(&self) -> Result<()> {
        let refuse = |attribute: &str, reason| Err(Error::Rubric { attribute: attribute.to_owned(), reason });
        // User summaries are judged by what needs no item, so at least one such attribute must be there.
        if self.attributes.iter().all(|attribute| attribute.needs_item) {
            return refuse("", "at least one attribute must not need an item");
        }
        for (place, attribute) in self.attributes.iter().enumerate() {
            let is_key = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            if attribute.name.is_empty() || !attribute.name.chars().all(is_key) {
                return refuse(&attribute.name, "a name has lower-case letters, digits and `_`");
            }
            if self.attributes[..place].iter().any(|other| other.name == attribute.name) {
                return refuse(&attribute.name, "stands twice");
            }
        }
        Ok(())
    }
}
