//! What a decoder is given: embeddings, and vectors that are added to its states further up.

use tch::Tensor;

use crate::error::{Error, Result};
use crate::model::Decoder;

/// Vectors that are added to the states that enter some of a decoder's blocks, at the positions of its embeddings.
///
/// Where nothing is to be added, as at the positions of text, they hold zeros. Tokens that are written after a prompt get nothing
/// added: what stands at the prompt's positions reaches them through attention.
#[derive(Debug, Default)]
pub struct Injected {
    added: Vec<(usize, Tensor)>,
}

impl Injected {
    /// Of each block that gets some, its number, from 0, and what is added to the states that enter it.
    ///
    /// **Shapes** `[batch, seq, hidden]` each, as the embeddings, and of their kind. Numbers of blocks and shapes are checked by the
    /// pass that reads them.
    pub fn new(added: Vec<(usize, Tensor)>) -> Self {
        Self { added }
    }

    /// Block by block, in the order that was given.
    pub fn added(&self) -> &[(usize, Tensor)] {
        &self.added
    }

    fn at(&self, block: usize) -> Option<&Tensor> {
        self.added.iter().find(|(at, _)| *at == block).map(|(_, added)| added)
    }
}

/// What a pass through a decoder begins with. Embeddings alone are made into it wherever it is asked for.
///
/// ```
/// use regen_lm::{Decoder, DecoderConfig, DecoderInputs, Injected, PaddingMask};
/// use tch::{Device, Tensor, nn};
/// # let store = nn::VarStore::new(Device::Cpu);
/// # let config = DecoderConfig::preset("1m", 300)?;
/// # let decoder = Decoder::new(&store.root(), &config, &mut regen_torch::seed::rng(7, 0))?;
/// let embeds = decoder.embed(&Tensor::from_slice(&[5i64, 6, 7]).unsqueeze(0))?;
/// let mask = PaddingMask::full(1, 3);
/// let plain = decoder.forward(&embeds, &mask, None)?;
/// let added = Injected::new(vec![(1, embeds.zeros_like())]);
/// let with = decoder.forward(DecoderInputs { embeds: &embeds, injected: Some(&added) }, &mask, None)?;
/// assert!(with.equal(&plain));
/// # Ok::<(), regen_lm::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct DecoderInputs<'a> {
    /// `[batch, seq, hidden]`: what stands in the places of tokens' embeddings.
    pub embeds: &'a Tensor,
    /// What is added further up, if anything.
    pub injected: Option<&'a Injected>,
}

impl<'a> From<&'a Tensor> for DecoderInputs<'a> {
    fn from(embeds: &'a Tensor) -> Self {
        Self { embeds, injected: None }
    }
}

impl DecoderInputs<'_> {
    /// What is added to the states that enter a block.
    pub(crate) fn at(&self, block: usize) -> Option<&Tensor> {
        self.injected.and_then(|injected| injected.at(block))
    }

    /// The states that enter a block, `x` being those that left the one below.
    pub(crate) fn enter(&self, block: usize, x: Tensor) -> Result<Tensor> {
        match self.at(block) {
            Some(added) => Ok(x.f_add(added)?),
            None => Ok(x),
        }
    }

    /// Refuses what is of another shape or kind than the embeddings, and blocks that `decoder` has not, or that are named twice.
    pub(crate) fn check_injected(&self, decoder: &Decoder) -> Result<()> {
        let added = self.injected.map_or(&[][..], Injected::added);
        for (place, (block, vectors)) in added.iter().enumerate() {
            let twice = added[..place].iter().any(|(other, _)| other == block);
            if *block >= decoder.blocks.len() || twice {
                return Err(Error::Argument {
                    what: "injected block",
                    expected: "a block of the decoder, named once",
                    got: block.to_string(),
                });
            }
            let (expected, got) = (self.embeds.size(), vectors.size());
            if got != expected {
                return Err(Error::shape("injected vectors", format!("{expected:?}"), &got));
            }
            if vectors.kind() != decoder.kind() {
                return Err(Error::Kind {
                    what: "injected vectors",
                    expected: "the kind of the parameters",
                    got: vectors.kind(),
                });
            }
        }
        Ok(())
    }
}
