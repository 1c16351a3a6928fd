//! What `inspect_lm` reads: prompts as ids, embeddings or text, and the place of given vectors in them.

use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use regen_lm::{Decoder, PaddingMask, TextTokenizer};
use regen_torch::read_npy;
use tch::{Device, Kind, Tensor};

/// What a batch of prompts is read from.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// A file of ids, `[batch, seq]`.
    Ids(&'a Path),
    /// A file of embeddings, `[batch, seq, hidden]`.
    Embeds(&'a Path),
    /// A text for each row, and what makes ids of it.
    Texts(&'a [String], &'a TextTokenizer),
}

/// Where given vectors go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SoftPlace {
    /// In the place of the first positions, whose own embeddings are lost.
    First,
    /// Before the first token of each prompt, which gets longer.
    Before,
}

/// Given vectors, and where they go.
#[derive(Debug, Clone, Copy)]
pub struct Soft<'a> {
    /// A file of vectors, `[batch, soft, hidden]`.
    pub path: &'a Path,
    /// Where there is no marker.
    pub place: SoftPlace,
    /// What they replace in each row: a piece of text, or of ids an id. It has to stand there once.
    pub marker: Option<&'a str>,
}

/// A batch that a decoder reads.
#[derive(Debug)]
pub struct Prompts {
    /// `[batch, seq, hidden]`.
    pub embeds: Tensor,
    /// `[batch, seq]`.
    pub mask: PaddingMask,
    /// The column of the first given vector of each row, where there are any.
    pub soft_columns: Option<Vec<i64>>,
    /// The real ids of each row, where it is made of ids alone.
    pub ids: Option<Vec<Vec<i64>>>,
}

/// Reads prompts, and puts given vectors into them. Texts, and prompts that vectors make longer, are padded on the left.
///
/// # Errors
/// For files that are not what they should be, or do not go together; for a marker that does not stand once in each row.
pub fn read(
    source: Source<'_>,
    mask: Option<&Path>,
    soft: Option<&Soft<'_>>,
    decoder: &Decoder,
) -> Result<Prompts> {
    let marker = soft.and_then(|soft| soft.marker);
    let inserted = soft.is_some_and(|soft| soft.marker.is_some() || soft.place == SoftPlace::Before);
    let mask = mask.map(mask_of).transpose()?;
    // For each row the tokens before the marker, and how many tokens it has.
    let mut places = None;
    let mut known = None;
    let (embeds, mask) = match source {
        Source::Ids(path) => {
            let ids = whole_numbers(path)?;
            let mask = padding(mask, &ids)?;
            let named = || format!("--soft-marker in {}", path.display());
            let rows = real_ids(&ids, &mask)?;
            places = marker.map(|marker| ids_before(&rows, marker)).transpose().with_context(named)?;
            known = Some(rows);
            (decoder.embed(&ids)?, mask)
        }
        Source::Embeds(path) => {
            if marker.is_some() {
                bail!("--soft-marker belongs to --ids or --text: embeddings hold none");
            }
            let embeds = vectors(path, decoder)?;
            let mask = padding(mask, &embeds)?;
            (embeds, mask)
        }
        Source::Texts(..) if mask.is_some() => {
            bail!("--mask belongs to --ids or --embeds: texts are padded here")
        }
        Source::Texts(texts, tokenizer) => {
            let rows =
                texts.iter().map(|text| encoded(text, marker, tokenizer)).collect::<Result<Vec<_>>>()?;
            places =
                marker.map(|_| Places { before: rows.iter().map(|(_, before)| *before).collect(), taken: 0 });
            let rows: Vec<Vec<i64>> = rows.into_iter().map(|(ids, _)| ids).collect();
            if let Some(empty) = rows.iter().position(Vec::is_empty).filter(|_| !inserted) {
                bail!("text {} of --text has no tokens: there is nothing to go on from", empty + 1);
            }
            let batch = decoder.embed_rows(&rows)?;
            known = Some(rows);
            batch
        }
    };
    let Some(soft) = soft else { return Ok(Prompts { embeds, mask, soft_columns: None, ids: known }) };
    let given = vectors(soft.path, decoder)?;
    let (size, whole) = (given.size(), embeds.size());
    let most = if inserted { i64::MAX } else { whole[1] };
    if size.len() != 3 || size[0] != whole[0] || size[1] > most || size[2] != whole[2] {
        let soft = if inserted { "soft".to_owned() } else { format!("up to {most}") };
        bail!("--soft has shape {size:?}, expected [{}, {soft}, {}]", whole[0], whole[2]);
    }
    if inserted {
        let rows = whole[0] as usize;
        return insert(
            &embeds,
            &mask,
            &given,
            &places.unwrap_or_else(|| Places { before: vec![0; rows], taken: 0 }),
        );
    }
    if matches!(source, Source::Texts(..)) && !mask.is_full() {
        bail!(
            "--soft replaces first positions, which in texts of different length are padding: give one text, or choose \
             --soft-at before"
        );
    }
    let rest = embeds.f_narrow(1, size[1], whole[1] - size[1])?;
    let embeds = Tensor::f_cat(&[&given, &rest], 1)?;
    Ok(Prompts { embeds, mask, soft_columns: Some(vec![0; whole[0] as usize]), ids: None })
}

/// Where vectors go in each row.
struct Places {
    /// Real tokens before them.
    before: Vec<i64>,
    /// Real tokens that they replace.
    taken: i64,
}

/// Rows with vectors between their tokens, padded on the left.
fn insert(embeds: &Tensor, mask: &PaddingMask, soft: &Tensor, places: &Places) -> Result<Prompts> {
    let (embeds, mask) = mask.pad_left(embeds)?;
    let (columns, more) = (mask.seq(), soft.size()[1] - places.taken);
    let lengths: Vec<i64> = (0..mask.batch() as usize).map(|row| mask.real_tokens(row) + more).collect();
    let longest = lengths.iter().copied().max().unwrap_or(0);
    let mut rows = Vec::with_capacity(lengths.len());
    let mut soft_columns = Vec::with_capacity(lengths.len());
    for (row, (length, before)) in lengths.iter().zip(&places.before).enumerate() {
        let (own, vectors) = (embeds.f_get(row as i64)?, soft.f_get(row as i64)?);
        let (real, padding) = (length - more, longest - length);
        let first = columns - real;
        let after = before + places.taken;
        let nothing = Tensor::f_zeros([padding, own.size()[1]], (own.kind(), own.device()))?;
        let parts = [
            nothing,
            own.f_narrow(0, first, *before)?,
            vectors,
            own.f_narrow(0, first + after, real - after)?,
        ];
        rows.push(Tensor::f_cat(&parts, 0)?);
        soft_columns.push(padding + before);
    }
    let mask = PaddingMask::left(&lengths, longest)?;
    Ok(Prompts { embeds: Tensor::f_stack(&rows, 0)?, mask, soft_columns: Some(soft_columns), ids: None })
}

/// The ids of a text as the tokenizer completes it, without its marker, and how many stand before that. What stands on either side
/// of the marker is encoded by itself.
fn encoded(text: &str, marker: Option<&str>, tokenizer: &TextTokenizer) -> Result<(Vec<i64>, i64)> {
    let Some(marker) = marker else { return Ok((tokenizer.encode_with_special(text)?, 0)) };
    let sides = text.split_once(marker).filter(|(_, after)| !marker.is_empty() && !after.contains(marker));
    let Some((before, after)) = sides else {
        bail!("--soft-marker {marker:?} does not stand exactly once in {text:?}");
    };
    // What the tokenizer puts around any text.
    let (bare, whole) = (tokenizer.encode("a")?, tokenizer.encode_with_special("a")?);
    let begin = (0..whole.len()).find(|at| whole[*at..].starts_with(&bare)).unwrap_or(0);
    let mut ids = whole[..begin].to_vec();
    ids.extend(tokenizer.encode(before)?);
    let place = ids.len() as i64;
    ids.extend(tokenizer.encode(after)?);
    ids.extend(whole.iter().skip(begin + bare.len()));
    Ok((ids, place))
}

/// The real ids of each row.
fn real_ids(ids: &Tensor, mask: &PaddingMask) -> Result<Vec<Vec<i64>>> {
    let host = |tensor: &Tensor| Vec::<i64>::try_from(&tensor.f_to_kind(Kind::Int64)?.f_view([-1])?);
    let (ids, real) = (host(ids)?, host(&mask.to_tensor(Device::Cpu)?)?);
    let seq = (mask.seq() as usize).max(1);
    let rows = ids.chunks(seq).zip(real.chunks(seq));
    let own = |(ids, real): (&[i64], &[i64])| {
        ids.iter().zip(real).filter(|(_, real)| **real != 0).map(|(id, _)| *id).collect()
    };
    Ok(rows.map(own).collect())
}

/// Where the marker stands in each row of real ids.
fn ids_before(rows: &[Vec<i64>], marker: &str) -> Result<Places> {
    let id: i64 = marker.parse().with_context(|| format!("{marker:?} is no id"))?;
    let before = rows.iter().enumerate().map(|(row, own)| {
        let found: Vec<i64> = (0..).zip(own).filter(|(_, own)| **own == id).map(|(place, _)| place).collect();
        match found[..] {
            [place] => Ok(place),
            _ => bail!("row {row} holds the id {id} {} times, not once", found.len()),
        }
    });
    Ok(Places { before: before.collect::<Result<_>>()?, taken: 1 })
}

/// The given mask, or that of no padding, for ids or embeddings.
fn padding(mask: Option<Tensor>, of: &Tensor) -> Result<PaddingMask> {
    let size = of.size();
    let [batch, seq, ..] = size[..] else {
        bail!(
            "the prompts have shape {size:?}, expected [batch, seq] of ids or [batch, seq, hidden] of embeddings"
        );
    };
    let Some(mask) = mask else { return Ok(PaddingMask::full(batch, seq)) };
    if mask.size() != [batch, seq] {
        bail!("--mask has shape {:?}, expected [{batch}, {seq}]", mask.size());
    }
    let mask = PaddingMask::from_tensor(&mask)?;
    if (0..mask.batch() as usize).any(|row| mask.real_tokens(row) == 0) {
        bail!("a row of --mask has no real position: there is nothing to go on from");
    }
    Ok(mask)
}

/// i64, from whatever whole numbers a file holds.
fn whole_numbers(path: &Path) -> Result<Tensor> {
    let array = read_npy(path)?;
    if !matches!(array.kind(), Kind::Int64 | Kind::Int | Kind::Int16 | Kind::Int8 | Kind::Uint8 | Kind::Bool)
    {
        bail!("{} holds {:?}, expected whole numbers (i64)", path.display(), array.kind());
    }
    Ok(array.f_to_kind(Kind::Int64)?)
}

/// Ones at real positions, zeros at padding.
fn mask_of(path: &Path) -> Result<Tensor> {
    let mask = whole_numbers(path)?;
    let outside = |number: Tensor| Ok::<_, tch::TchError>(!(0..=1).contains(&number.f_int64_value(&[])?));
    if mask.numel() > 0 && (outside(mask.f_min()?)? || outside(mask.f_max()?)?) {
        bail!("{} holds other numbers than 1 (real) and 0 (padding)", path.display());
    }
    Ok(mask)
}

/// Given vectors as the model computes.
fn vectors(path: &Path, decoder: &Decoder) -> Result<Tensor> {
    let array = read_npy(path)?;
    if !matches!(array.kind(), Kind::Float | Kind::Double | Kind::Half | Kind::BFloat16) {
        bail!("{} holds {:?}, expected floats", path.display(), array.kind());
    }
    if array.dim() != 3 {
        bail!("{} has shape {:?}, expected [batch, vectors, hidden]", path.display(), array.size());
    }
    let array = array.f_to_kind(decoder.kind())?.f_to_device(decoder.device())?;
    if array.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
        bail!("{} holds a number that is not finite in {:?}", path.display(), decoder.kind());
    }
    Ok(array)
}
