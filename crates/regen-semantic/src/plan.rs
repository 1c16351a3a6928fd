//! Which texts are computed together: sorted by length, cut into batches, and each batch cut into groups for attention.

use tch::{Device, Tensor};

use crate::transformer::{Batch, Group, Torch};

/// What is done about texts of different length in one batch. Both give the same vectors but for rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// None: attention runs once for each length.
    Avoid,
    /// All texts of a batch are filled up to the longest: fewer, larger operations, as a GPU likes them.
    ToLongest,
}

/// Batches of indexes into `lengths`, longest texts first, so that memory is short at the start or never.
pub(crate) fn batches(lengths: &[usize], most_texts: usize, most_tokens: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(lengths[index]));
    let mut rest = order.as_slice();
    let mut batches = Vec::new();
    while let Some(&first) = rest.first() {
        let fitting = (most_tokens / lengths[first].max(1)).clamp(1, most_texts.max(1)).min(rest.len());
        let (batch, later) = rest.split_at(fitting);
        batches.push(batch.to_vec());
        rest = later;
    }
    batches
}

/// The tensors of one batch, rows in the order of `texts`. `padding_id`: of families that count positions past it.
///
/// # Errors
/// What libtorch says, above all that memory ran out.
pub(crate) fn batch(
    texts: &[&[i64]],
    padding_id: Option<i64>,
    padding: Padding,
    device: Device,
) -> Torch<Batch> {
    let place_numbers = |numbers: &[i64]| Tensor::f_from_slice(numbers)?.f_to_device(device);
    let longest = texts.iter().map(|text| text.len()).max().unwrap_or(0);
    let (mut ids, mut positions) = (Vec::new(), Vec::new());
    for text in texts {
        place(text, padding_id, &mut ids, &mut positions);
        if padding == Padding::ToLongest {
            let missing = longest - text.len();
            ids.extend(std::iter::repeat_n(padding_id.unwrap_or(0), missing));
            positions.extend(std::iter::repeat_n(0, missing));
        }
    }
    let equal = texts.iter().all(|text| text.len() == longest);
    let groups = match padding {
        Padding::Avoid => texts
            .chunk_by(|a, b| a.len() == b.len())
            .map(|group| Group { texts: group.len() as i64, seq: group[0].len() as i64, lengths: None })
            .collect(),
        Padding::ToLongest => {
            let lengths: Vec<i64> = texts.iter().map(|text| text.len() as i64).collect();
            let lengths = (!equal).then(|| place_numbers(&lengths)).transpose()?;
            vec![Group { texts: texts.len() as i64, seq: longest as i64, lengths }]
        }
    };
    Ok(Batch { ids: place_numbers(&ids)?, positions: place_numbers(&positions)?, groups })
}

/// Appends a text's ids and their positions. With a padding id, positions start after it, and a token that happens to have
/// that id (somebody wrote `<pad>`) gets it as position and is not counted, as in the reference.
fn place(text: &[i64], padding_id: Option<i64>, ids: &mut Vec<i64>, positions: &mut Vec<i64>) {
    ids.extend(text);
    match padding_id {
        None => positions.extend(0..text.len() as i64),
        Some(padding) => {
            let mut last = padding;
            positions.extend(text.iter().map(|&id| {
                if id == padding {
                    return padding;
                }
                last += 1;
                last
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_hold_every_text_once_and_respect_both_limits() {
        let lengths = [3, 50, 4, 4, 7, 200, 4];
        let batches = batches(&lengths, 3, 60);
        assert_eq!(batches, [vec![5], vec![1], vec![4, 2, 3], vec![6, 0]]);
    }

    #[test]
    fn positions_skip_a_literal_padding_token() {
        let (mut ids, mut positions) = (Vec::new(), Vec::new());
        place(&[0, 9, 1, 8], Some(1), &mut ids, &mut positions);
        assert_eq!(positions, [2, 3, 1, 4]);
        place(&[5, 6], None, &mut ids, &mut positions);
        assert_eq!((ids.len(), &positions[4..]), (6, [0, 1].as_slice()));
    }
}
