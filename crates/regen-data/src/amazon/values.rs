//! Values that the releases write in several ways: texts, numbers and lists that may be strings, null or absent.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

type Outcome<T, E> = std::result::Result<T, E>;

/// A string, a number written as one, or null. Borrowed from the line unless it holds escapes.
#[derive(Debug, Default)]
pub(super) struct Text<'a>(pub(super) Option<Cow<'a, str>>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Outcome<Self, D::Error> {
        struct Scalar;
        impl<'de> Visitor<'de> for Scalar {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or null")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Outcome<Self::Value, E> {
                Ok(Text(Some(Cow::Borrowed(text))))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Outcome<Self::Value, E> {
                Ok(Text(Some(Cow::Owned(text.to_owned()))))
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Outcome<Self::Value, E> {
                Ok(Text(Some(Cow::Owned(number.to_string()))))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Outcome<Self::Value, E> {
                Ok(Text(Some(Cow::Owned(number.to_string()))))
            }
            fn visit_f64<E: de::Error>(self, number: f64) -> Outcome<Self::Value, E> {
                Ok(Text(Some(Cow::Owned(number.to_string()))))
            }
            fn visit_unit<E: de::Error>(self) -> Outcome<Self::Value, E> {
                Ok(Text(None))
            }
        }
        deserializer.deserialize_any(Scalar)
    }
}

/// A number, a string that holds one (thousands separated by commas), or null. A string without a number, an empty
/// one above all, is no number.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Number(pub(super) Option<f64>);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Outcome<Self, D::Error> {
        struct Scalar;
        impl Visitor<'_> for Scalar {
            type Value = Number;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, a string or null")
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Outcome<Number, E> {
                Ok(Number(Some(number as f64)))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Outcome<Number, E> {
                Ok(Number(Some(number as f64)))
            }
            fn visit_f64<E: de::Error>(self, number: f64) -> Outcome<Number, E> {
                Ok(Number(Some(number)))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Outcome<Number, E> {
                let number = match text.trim().parse::<f64>() {
                    Ok(number) => Some(number),
                    Err(_) => text.trim().replace(',', "").parse().ok(),
                };
                Ok(Number(number.filter(|number| number.is_finite())))
            }
            fn visit_unit<E: de::Error>(self) -> Outcome<Number, E> {
                Ok(Number(None))
            }
        }
        deserializer.deserialize_any(Scalar)
    }
}

/// A truth value, or null.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flag(pub(super) Option<bool>);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Outcome<Self, D::Error> {
        Option::<bool>::deserialize(deserializer).map(Flag)
    }
}

/// The first number of `[yes, all]`, which 2014 mirrors also write as a string.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Helpful(pub(super) Option<f64>);

impl<'de> Deserialize<'de> for Helpful {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Outcome<Self, D::Error> {
        struct Pair;
        impl<'de> Visitor<'de> for Pair {
            type Value = Helpful;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("[helpful, all], as a list or a string")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Outcome<Helpful, E> {
                let first = text.trim_start_matches('[').split([',', ']']).next();
                Ok(Helpful(first.and_then(|number| number.trim().parse().ok())))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Outcome<Helpful, A::Error> {
                let first = list.next_element::<Number>()?.and_then(|number| number.0);
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Helpful(first))
            }
            fn visit_unit<E: de::Error>(self) -> Outcome<Helpful, E> {
                Ok(Helpful(None))
            }
        }
        deserializer.deserialize_any(Pair)
    }
}

/// Texts in a list, in a list of lists, alone, or null: `Vec` of paths, each a `Vec` of texts. A text alone is a
/// path of one. Objects inside are left out.
#[derive(Debug, Default)]
pub(super) struct Texts(pub(super) Vec<Vec<String>>);

impl Texts {
    /// All texts, one after another.
    pub(super) fn flat(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flatten().map(String::as_str)
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Outcome<Self, D::Error> {
        /// One element: a text, a list of texts, or something else.
        enum Element {
            Text(String),
            List(Vec<String>),
            Other,
        }
        struct AnyElement;
        impl<'de> Visitor<'de> for AnyElement {
            type Value = Element;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, a list of strings or null")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Outcome<Element, E> {
                Ok(Element::Text(text.to_owned()))
            }
            fn visit_bool<E: de::Error>(self, _: bool) -> Outcome<Element, E> {
                Ok(Element::Other)
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Outcome<Element, E> {
                Ok(Element::Text(number.to_string()))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Outcome<Element, E> {
                Ok(Element::Text(number.to_string()))
            }
            fn visit_f64<E: de::Error>(self, number: f64) -> Outcome<Element, E> {
                Ok(Element::Text(number.to_string()))
            }
            fn visit_unit<E: de::Error>(self) -> Outcome<Element, E> {
                Ok(Element::Other)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Outcome<Element, A::Error> {
                let mut texts = Vec::new();
                while let Some(Text(text)) = list.next_element()? {
                    texts.extend(text.map(Cow::into_owned));
                }
                Ok(Element::List(texts))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Outcome<Element, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Element::Other)
            }
        }
        impl<'de> Deserialize<'de> for Element {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Outcome<Self, D::Error> {
                deserializer.deserialize_any(AnyElement)
            }
        }
        struct Outer;
        impl<'de> Visitor<'de> for Outer {
            type Value = Texts;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, a list of strings, a list of such lists, or null")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Outcome<Texts, E> {
                Ok(Texts(vec![vec![text.to_owned()]]))
            }
            fn visit_unit<E: de::Error>(self) -> Outcome<Texts, E> {
                Ok(Texts(Vec::new()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Outcome<Texts, A::Error> {
                let (mut alone, mut paths) = (Vec::new(), Vec::new());
                while let Some(element) = list.next_element()? {
                    match element {
                        Element::Text(text) => alone.push(text),
                        Element::List(path) => paths.push(path),
                        Element::Other => {}
                    }
                }
                if !alone.is_empty() {
                    paths.insert(0, alone);
                }
                Ok(Texts(paths))
            }
        }
        deserializer.deserialize_any(Outer)
    }
}
