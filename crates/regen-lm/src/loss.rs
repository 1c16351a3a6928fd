//! Cross entropy on chosen positions, with logits computed nowhere else.

use regen_torch::Numbers;
use tch::{Kind, Reduction, Tensor};

use crate::error::{Error, Result};
use crate::model::Decoder;

/// Mean cross entropy in nats over the positions that `loss_mask` selects.
///
/// `targets[b, t]` is the id that `hidden[b, t]` should predict: the caller shifts, as only the caller knows
/// how soft tokens and text stand. The product with the vocabulary is computed at selected positions
/// only, which for long prompts is most of the saving.
///
/// **Shapes** `hidden: [batch, seq, hidden]`, `targets: [batch, seq] i64`, `loss_mask: [batch, seq]` bool or integer → scalar f32.
///
/// # Errors
/// [`Error::EmptyLoss`] if nothing is selected; [`Error::IdOutOfRange`] for a selected target outside the
/// vocabulary; [`Error::Shape`], [`Error::Kind`], [`Error::Libtorch`].
pub fn masked_loss(
    decoder: &Decoder,
    hidden: &Tensor,
    targets: &Tensor,
    loss_mask: &Tensor,
) -> Result<Tensor> {
    let (chosen, targets) = choose(decoder, hidden, targets, loss_mask)?;
    let width = decoder.config().hidden;
    let hidden = hidden.f_reshape([-1, width])?.f_index_select(0, &chosen)?;
    let logits = decoder.logits(&hidden)?.f_to_kind(Kind::Float)?;
    Ok(logits.f_cross_entropy_loss(&targets, None::<&Tensor>, Reduction::Mean, -100, 0.0)?)
}

/// The selected positions of `[batch · seq]` and their targets, checked.
pub(crate) fn choose(
    decoder: &Decoder,
    hidden: &Tensor,
    targets: &Tensor,
    loss_mask: &Tensor,
) -> Result<(Tensor, Tensor)> {
    let size = hidden.size();
    let [batch, seq, _] = size[..] else {
        return Err(Error::shape("hidden states", "[batch, seq, hidden]", &size));
    };
    for (what, tensor) in [("targets", targets), ("loss mask", loss_mask)] {
        if tensor.size() != [batch, seq] {
            return Err(Error::shape(what, format!("[{batch}, {seq}]"), &tensor.size()));
        }
    }
    if targets.kind() != Kind::Int64 {
        return Err(Error::Kind { what: "targets", expected: "i64", got: targets.kind() });
    }
    let device = hidden.device();
    let chosen = loss_mask.try_ne(0)?.f_to_device(device)?.f_view([-1])?.f_nonzero()?.f_view([-1])?;
    if chosen.numel() == 0 {
        return Err(Error::EmptyLoss);
    }
    let targets = targets.f_to_device(device)?.f_reshape([-1])?.f_index_select(0, &chosen)?;
    let vocab = decoder.config().vocab;
    for id in [targets.f_min()?.f_int64_value(&[])?, targets.f_max()?.f_int64_value(&[])?] {
        if !(0..vocab).contains(&id) {
            return Err(Error::IdOutOfRange { id, vocab });
        }
    }
    Ok((chosen, targets))
}
