//! From stored tensors to variables: what may become a weight, and under which name.

use std::path::Path;

use regen_torch::Checkpoint;
use tch::{Device, Kind, Tensor, nn};

use crate::config::DecoderConfig;
use crate::error::{Error, Result};

/// A stored weight. Integers are refused: they are quantised or something else, and mean nothing as they stand.
pub(crate) fn floating(checkpoint: &Checkpoint, path: &Path, name: &str, shape: &[i64]) -> Result<Tensor> {
    let value = checkpoint.tensor(name, shape)?;
    match value.kind() {
        Kind::Float | Kind::Double | Kind::Half | Kind::BFloat16 => Ok(value),
        other => Err(Error::Checkpoint(regen_torch::Error::UnsupportedDtype {
            tensor: name.to_owned(),
            path: path.to_owned(),
            dtype: format!("{other:?}, not as floating numbers"),
        })),
    }
}

/// Refuses a stored head that the configuration ties to the embedding although it holds something else.
pub(crate) fn check_tied_head(
    checkpoint: &Checkpoint,
    path: &Path,
    config: &DecoderConfig,
    stored: impl Fn(&str) -> String,
) -> Result<()> {
    let names = config.family.arrangement();
    let head = format!("{}.weight", names.head);
    if !config.tied || !checkpoint.contains(&head) {
        return Ok(());
    }
    let embedding = stored(&format!("{}.weight", names.embedding));
    let shape = [config.vocab, config.hidden];
    let own = floating(checkpoint, path, &head, &shape)?;
    let shared = floating(checkpoint, path, &embedding, &shape)?;
    if own.f_eq_tensor(&shared)?.f_all()?.f_int64_value(&[])? == 1 {
        return Ok(());
    }
    Err(Error::InvalidConfig {
        path: Some(path.join("config.json")),
        field: "tie_word_embeddings".to_owned(),
        expected: format!("false, because the stored tensor `{head}` differs from `{embedding}`"),
        got: "true".to_owned(),
    })
}

/// A copy on a device in a kind. A copy even where nothing changes: a variable must own its memory.
pub(crate) fn converted(name: &str, value: &Tensor, device: Device, kind: Kind) -> Result<Tensor> {
    let mut owned = Tensor::f_empty(value.size(), (kind, device))?;
    owned.f_copy_(value)?;
    // What is stored was finite, but a narrower range may not hold it.
    if value.kind() != kind && owned.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
        return Err(Error::NonFiniteWeight { tensor: name.to_owned(), kind });
    }
    Ok(owned)
}

/// Makes a tensor a trainable variable under its dotted name.
pub(crate) fn add(vs: &nn::Path<'_>, name: &str, owned: Tensor) -> Tensor {
    let mut parts: Vec<&str> = name.split('.').collect();
    let last = parts.pop().unwrap_or(name);
    let path = parts.iter().fold(vs.clone(), |path, part| path.sub(part));
    path.add(last, owned, true)
}

/// A trainable variable under its dotted name, with a copy of these values.
pub(crate) fn variable(
    vs: &nn::Path<'_>,
    name: &str,
    value: &Tensor,
    device: Device,
    kind: Kind,
) -> Result<Tensor> {
    Ok(add(vs, name, converted(name, value, device, kind)?))
}
