//! A dense layer after pooling: a linear map of the text's vector and a non-linearity.

use std::path::Path;

use regen_torch::{Checkpoint, Placement, Surplus};
use tch::Tensor;

use crate::fields::{Fields, read_object};
use crate::transformer::torch;
use crate::{Error, Result};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    Identity,
    Tanh,
    Relu,
    Gelu,
    Sigmoid,
}

/// `after(input · weightᵀ + bias)`, in f32 whatever the encoder's precision: it costs nothing.
#[derive(Debug)]
pub(crate) struct Dense {
    weight: Tensor,
    bias: Option<Tensor>,
    after: After,
    pub(crate) output: i64,
}

impl Dense {
    /// Loads the module's folder; `input` is the width that it will be given.
    pub(crate) fn load(dir: &Path, input: i64, placement: Placement) -> Result<Self> {
        let path = dir.join("config.json");
        let mut fields = Fields { path: &path, values: read_object(&path)? };
        let stored = fields.positive("in_features")?;
        if stored != input {
            return Err(fields.invalid("in_features", &stored.to_string(), format!("the width {input}")));
        }
        let output = fields.positive("out_features")?;
        let with_bias = fields.flag("bias")?.unwrap_or(true);
        let name = fields.text("activation_function")?;
        let after = match name.as_str() {
            "torch.nn.modules.linear.Identity" => After::Identity,
            "torch.nn.modules.activation.Tanh" => After::Tanh,
            "torch.nn.modules.activation.ReLU" => After::Relu,
            "torch.nn.modules.activation.GELU" => After::Gelu,
            "torch.nn.modules.activation.Sigmoid" => After::Sigmoid,
            _ => return Err(fields.unsupported("activation_function", &name)),
        };
        fields.allow("module_input_name", &["sentence_embedding"])?;
        fields.allow("module_output_name", &["sentence_embedding", "null"])?;
        fields.allow("use_residual", &["false"])?;
        fields.finish_except(&[])?;
        let checkpoint = Checkpoint::open(dir)?;
        let take = |name: &str, shape: &[i64]| -> Result<Tensor> {
            let tensor = checkpoint.tensor(name, shape)?;
            tensor
                .f_to_device(placement.device)
                .and_then(|t| t.f_to_kind(tch::Kind::Float))
                .map_err(torch("place a weight"))
        };
        let weight = take("linear.weight", &[output, input])?;
        let bias = if with_bias { Some(take("linear.bias", &[output])?) } else { None };
        let used = |name: &str| name == "linear.weight" || (with_bias && name == "linear.bias");
        checkpoint.check_surplus(used, Surplus::Refuse)?;
        Ok(Self { weight, bias, after, output })
    }

    /// Another handle on the same weights, for another thread.
    pub(crate) fn share(&self) -> Self {
        Self {
            weight: self.weight.shallow_clone(),
            bias: self.bias.as_ref().map(Tensor::shallow_clone),
            after: self.after,
            output: self.output,
        }
    }

    /// `[texts, in] f32 → [texts, out]`.
    pub(crate) fn forward(&self, input: &Tensor) -> Result<Tensor> {
        let run = || -> std::result::Result<Tensor, tch::TchError> {
            let mapped = input.f_linear(&self.weight, self.bias.as_ref())?;
            match self.after {
                After::Identity => Ok(mapped),
                After::Tanh => mapped.f_tanh(),
                After::Relu => mapped.f_relu(),
                After::Gelu => mapped.f_gelu("none"),
                After::Sigmoid => mapped.f_sigmoid(),
            }
        };
        run().map_err(|source| Error::Torch { action: "apply a dense layer", source })
    }
}
