//! Tensors by checkpoint name, handed out to the layers that own them.

use std::collections::HashMap;

use tch::Tensor;

/// All tensors of a model, by name.
///
/// Layers take what the inventory promised them; a name that is not there is a mistake in this crate.
pub(crate) struct Weights {
    tensors: HashMap<String, Tensor>,
}

impl Weights {
    pub(crate) fn new(named: &[(String, Tensor)]) -> Self {
        Self { tensors: named.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect() }
    }

    /// The tensor of that name.
    ///
    /// # Panics
    /// If the inventory and the layers disagree.
    pub(crate) fn get(&self, module: &str, tensor: &str) -> Tensor {
        let name = format!("{module}.{tensor}");
        match self.tensors.get(&name) {
            Some(found) => found.shallow_clone(),
            None => unreachable!("the inventory lists every tensor that a layer asks for: {name}"),
        }
    }

    /// The tensor of that name, if the configuration has it.
    pub(crate) fn find(&self, module: &str, tensor: &str) -> Option<Tensor> {
        self.tensors.get(&format!("{module}.{tensor}")).map(Tensor::shallow_clone)
    }
}
