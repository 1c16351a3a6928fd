//! Soft tokens that reach into the layers: what an adapter gives is added to the states that enter some blocks of the language model,
//! beside standing at its input.

use regen_lm::{DecoderInputs, Injected};
use serde::{Deserialize, Serialize};
use tch::{Tensor, nn};

use crate::prompt::splice;
use crate::{Error, Result};

/// Which blocks soft tokens are added before, and what they pass through on the way.
///
/// Every block has a map of its own, which is zero at the start: a narrator that injects begins as one that does not, and learns
/// where it helps. Where a map is zero its gradient is not. Positions of text get nothing added, and neither do tokens that are
/// written.
///
/// Writing with packed weights adds the same vectors. Training by kernels ([`Memory::kernels`](crate::Memory)) cannot, and is refused.
///
/// **Source** Zhang, Rao, Agrawala 2023, "Adding Conditional Control to Text-to-Image Diffusion Models", section 3.1, for maps that begin
/// as zero; Alayrac et al. 2022, "Flamingo", section 2.2, for gates that do, between the layers of a language model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InjectionConfig {
    /// Numbers of the blocks, from 0, each once.
    pub layers: Vec<usize>,
    /// What the soft tokens pass through.
    #[serde(default)]
    pub through: InjectionMap,
}

/// What soft tokens pass through before they are added to the states that enter a block.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InjectionMap {
    /// A matrix, `W·t`: `hidden²` numbers a block.
    #[default]
    Projection,
    /// A factor for each component, `g ⊙ t`: `hidden` numbers a block.
    Gate,
}

impl InjectionConfig {
    /// Refuses blocks that a language model of so many does not have.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for a block that is not there or is named twice, and where none is named.
    pub fn validate(&self, blocks: i64) -> Result<()> {
        let twice = |place: usize| self.layers[..place].contains(&self.layers[place]);
        let there = |layer: &usize| i64::try_from(*layer).is_ok_and(|layer| layer < blocks);
        let fits = !self.layers.is_empty() && self.layers.iter().all(there);
        if fits && !(0..self.layers.len()).any(twice) {
            return Ok(());
        }
        Err(Error::InvalidConfig {
            field: "injection.layers",
            got: format!("{:?}, for a language model of {blocks} blocks", self.layers),
            expected: "numbers of its blocks from 0, each once and at least one",
        })
    }
}

/// The maps.
#[derive(Debug)]
pub(crate) struct Injection {
    through: InjectionMap,
    /// The block, and `[hidden, hidden]` of a projection or `[hidden]` of a gate.
    weights: Vec<(usize, Tensor)>,
}

impl Injection {
    pub(crate) fn new(vs: &nn::Path<'_>, config: &InjectionConfig, hidden: i64) -> Self {
        let shape = match config.through {
            InjectionMap::Projection => vec![hidden; 2],
            InjectionMap::Gate => vec![hidden],
        };
        let weight = |&layer: &usize| (layer, (vs / layer).zeros("weight", &shape));
        Self { through: config.through, weights: config.layers.iter().map(weight).collect() }
    }

    /// What is added at the places that `slots: [batch, seq]` gives `soft: [batch, soft tokens, hidden]` among the embeddings
    /// `text: [batch, seq, hidden]`.
    fn injected(&self, text: &Tensor, soft: &Tensor, slots: &Tensor) -> Result<Injected> {
        let nothing = text.f_zeros_like()?;
        let added = |(layer, weight): &(usize, Tensor)| {
            let mapped = match self.through {
                InjectionMap::Projection => soft.f_linear(weight, None::<&Tensor>)?,
                InjectionMap::Gate => soft.f_mul(weight)?,
            };
            Ok((*layer, splice(&nothing, &mapped, slots)?))
        };
        Ok(Injected::new(self.weights.iter().map(added).collect::<Result<_>>()?))
    }
}

/// What the language model is given of a batch.
#[derive(Debug)]
pub(crate) struct Embedded {
    /// `[batch, seq, hidden]`, soft tokens in their places.
    pub(crate) embeds: Tensor,
    injected: Option<Injected>,
}

impl Embedded {
    /// Of text alone.
    pub(crate) fn text(embeds: Tensor) -> Self {
        Self { embeds, injected: None }
    }

    /// Of the embeddings of text with `soft` in the places that `slots` names, and before the blocks that `injection` names.
    pub(crate) fn with(
        text: &Tensor,
        soft: &Tensor,
        slots: &Tensor,
        injection: Option<&Injection>,
    ) -> Result<Self> {
        let injected = injection.map(|injection| injection.injected(text, soft, slots)).transpose()?;
        Ok(Self { embeds: splice(text, soft, slots)?, injected })
    }
}

impl<'a> From<&'a Embedded> for DecoderInputs<'a> {
    fn from(embedded: &'a Embedded) -> Self {
        Self { embeds: &embedded.embeds, injected: embedded.injected.as_ref() }
    }
}
