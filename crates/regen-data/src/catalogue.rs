//! What is known of an item, and the one text that stands for it in a sentence encoder.

use serde::{Deserialize, Serialize};

/// An item's own facts, cleaned: no HTML, no entities, no empty strings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemMetadata {
    /// The product's or place's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Who makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brand: Option<String>,
    /// From general to special: `["Office Products", "Writing", "Gel Pens"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub category: Vec<String>,
    /// Prose about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// In the currency of the source (US dollars in the Amazon releases), greater than zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<f64>,
}

impl ItemMetadata {
    /// `title · brand · category · description`, with what is missing left out, or `None` when nothing is there.
    ///
    /// The title comes first because sentence encoders read a limited number of tokens. The price stays out:
    /// digits of a price move an embedding at random.
    ///
    /// ```
    /// use regen_data::ItemMetadata;
    /// let item = ItemMetadata {
    ///     title: Some("Gel Pen".into()),
    ///     category: vec!["Office".into(), "Pens".into()],
    ///     ..Default::default()
    /// };
    /// assert_eq!(item.text().as_deref(), Some("Gel Pen · Office, Pens"));
    /// ```
    pub fn text(&self) -> Option<String> {
        let category = self.category.join(", ");
        let parts: Vec<&str> = [
            self.title.as_deref(),
            self.brand.as_deref(),
            Some(category.as_str()),
            self.description.as_deref(),
        ]
        .into_iter()
        .flatten()
        .filter(|part| !part.trim().is_empty())
        .collect();
        (!parts.is_empty()).then(|| parts.join(" · "))
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.text().is_none() && self.price.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_without_facts_has_no_text() {
        assert_eq!(ItemMetadata::default().text(), None);
        assert_eq!(ItemMetadata { title: Some("  ".into()), ..Default::default() }.text(), None);
        assert_eq!(ItemMetadata { price: Some(3.0), ..Default::default() }.text(), None);
    }

    #[test]
    fn parts_stand_in_the_documented_order() {
        let item = ItemMetadata {
            title: Some("T".into()),
            brand: Some("B".into()),
            category: vec!["C".into()],
            description: Some("D".into()),
            price: Some(1.5),
        };
        assert_eq!(item.text().unwrap(), "T · B · C · D");
    }
}
