//! Which families there are, and which of them a folder holds.

use super::names::{self, Names};
use super::{decoders, post_norm, rotary};
use crate::Result;
use crate::config::{Activation, EncoderConfig};
use crate::fields::Fields;

/// Which family a checkpoint belongs to, by `model_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `bert`: positions from 0, token types.
    Bert,
    /// `roberta`, `xlm-roberta`, `camembert`: positions from the padding id + 1, token types.
    Roberta,
    /// `distilbert`: positions from 0, no token types.
    DistilBert,
    /// `mpnet`: positions from 2, no token types, a bias on attention scores by distance.
    Mpnet,
    /// `modernbert`: norms before, rotary positions, layers that see a neighbourhood, a gated perceptron.
    ModernBert,
    /// `nomic_bert`: norms after, rotary positions, a gated perceptron, token types.
    NomicBert,
    /// `qwen3`, such as Qwen3-Embedding: a decoder's layers, causal, with norms of queries and keys.
    Qwen3,
    /// `gemma3_text`, such as EmbeddingGemma: a decoder's layers with norms on both sides, seeing both ways.
    Gemma3,
}

impl Family {
    pub(crate) fn of(model_type: &str) -> Option<Self> {
        match model_type {
            "bert" => Some(Self::Bert),
            "roberta" | "xlm-roberta" | "camembert" => Some(Self::Roberta),
            "distilbert" => Some(Self::DistilBert),
            "mpnet" => Some(Self::Mpnet),
            "modernbert" => Some(Self::ModernBert),
            "nomic_bert" => Some(Self::NomicBert),
            "qwen3" => Some(Self::Qwen3),
            "gemma3_text" => Some(Self::Gemma3),
            _ => None,
        }
    }

    pub(crate) fn names(self) -> &'static Names {
        match self {
            Self::Bert => &names::BERT,
            Self::Roberta => &names::ROBERTA,
            Self::DistilBert => &names::DISTILBERT,
            Self::Mpnet => &names::MPNET,
            Self::ModernBert => &names::MODERNBERT,
            Self::NomicBert => &names::NOMIC_BERT,
            Self::Qwen3 => &names::QWEN3,
            Self::Gemma3 => &names::GEMMA3,
        }
    }
}

/// The configuration of a family, and the fields of it that change nothing.
pub(crate) fn read(
    family: Family,
    fields: &mut Fields<'_>,
) -> Result<(EncoderConfig, &'static [&'static str])> {
    match family {
        Family::Bert | Family::Roberta | Family::DistilBert | Family::Mpnet => {
            Ok((post_norm::read(family, fields)?, &[]))
        }
        Family::ModernBert => Ok((rotary::modernbert(fields)?, rotary::MODERNBERT_HARMLESS)),
        Family::NomicBert => Ok((rotary::nomic_bert(fields)?, rotary::NOMIC_HARMLESS)),
        Family::Qwen3 => Ok((decoders::qwen3(fields)?, decoders::HARMLESS)),
        Family::Gemma3 => Ok((decoders::gemma3(fields)?, decoders::HARMLESS)),
    }
}

/// Largest of the sizes but the vocabulary's. Real ones are far below; products of two, and sums of such, stay within an i64.
const LARGEST: i64 = 1 << 24;
/// Largest vocabulary: ids of the tokenizer are 32 bits wide.
const LARGEST_VOCABULARY: i64 = 1 << 31;

impl Fields<'_> {
    /// A size, in bounds within which nothing overflows.
    pub(super) fn size(&mut self, field: &str) -> Result<i64> {
        let size = self.positive(field)?;
        self.at_most(field, size, LARGEST)
    }

    /// An optional size; `null` is none.
    pub(super) fn optional_size(&mut self, field: &str) -> Result<Option<i64>> {
        let size = self.optional_positive(field)?;
        size.map(|size| self.at_most(field, size, LARGEST)).transpose()
    }

    /// `vocab_size`, which in large vocabularies exceeds what any other size may be.
    pub(super) fn vocabulary(&mut self) -> Result<i64> {
        let size = self.positive("vocab_size")?;
        self.at_most("vocab_size", size, LARGEST_VOCABULARY)
    }

    fn at_most(&self, field: &str, size: i64, largest: i64) -> Result<i64> {
        if size <= largest {
            return Ok(size);
        }
        Err(self.invalid(field, &size.to_string(), format!("at most {largest}")))
    }

    /// A number that something is divided by, or a base of powers.
    pub(super) fn divisor(&mut self, field: &str) -> Result<f64> {
        let value = self.number(field)?;
        self.above_zero(field, value)
    }

    /// The same where it is optional; `null` is none.
    pub(super) fn optional_divisor(&mut self, field: &str) -> Result<Option<f64>> {
        let value = self.optional_number(field)?;
        value.map(|value| self.above_zero(field, value)).transpose()
    }

    fn above_zero(&self, field: &str, value: f64) -> Result<f64> {
        if divides_anything(value) {
            return Ok(value);
        }
        Err(self.invalid(field, &value.to_string(), "a number above 0 that f32 can hold".into()))
    }
}

/// Whether a number is above 0 and finite also where it is computed with, in f32.
pub(super) fn divides_anything(value: f64) -> bool {
    (value as f32).is_normal() && value > 0.0
}

/// The non-linearity of `field`, by the reference's names.
pub(super) fn activation(fields: &mut Fields<'_>, field: &str, known: &[&str]) -> Result<Activation> {
    let name = fields.text(field)?;
    let activation = match name.as_str() {
        "gelu" => Activation::Gelu,
        "gelu_new" | "gelu_pytorch_tanh" => Activation::GeluTanh,
        "relu" => Activation::Relu,
        "silu" => Activation::Silu,
        _ => return Err(fields.unsupported(field, &name)),
    };
    if known.contains(&name.as_str()) { Ok(activation) } else { Err(fields.unsupported(field, &name)) }
}

/// Refuses heads that do not divide what they share.
pub(super) fn divides(fields: &Fields<'_>, field: &str, heads: i64, whole: i64, what: &str) -> Result<()> {
    if whole % heads == 0 {
        return Ok(());
    }
    Err(fields.invalid(field, &heads.to_string(), format!("a divisor of {what} {whole}")))
}
