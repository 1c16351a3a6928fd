//! Pieces of a narrative on their way to whoever reads along.

/// A text that comes in pieces, freed from white space around it.
///
/// White space at the end of a piece waits until something follows it.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    text: String,
    waiting: String,
}

impl Pieces {
    /// Takes what was written; gives what of it, and of what waited, is certain to be of the text.
    pub(crate) fn push(&mut self, written: &str) -> Option<String> {
        self.waiting.push_str(written);
        let end = self.waiting.trim_end().len();
        let rest = self.waiting.split_off(end);
        let mut piece = std::mem::replace(&mut self.waiting, rest);
        if self.text.is_empty() {
            piece = piece.trim_start().to_owned();
            if piece.is_empty() {
                self.waiting.clear();
            }
        }
        self.text.push_str(&piece);
        (!piece.is_empty()).then_some(piece)
    }

    /// The whole text.
    pub(crate) fn finish(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_add_up_to_the_trimmed_text() {
        for written in [
            &[" ", "  A", " pen ", " that\n", "\n", "writes. ", " "][..],
            &["", " \t", ""],
            &["…", "é ", "\u{3000}", "笔"],
            &["one"],
            &[],
        ] {
            let mut pieces = Pieces::default();
            let given: Vec<String> = written.iter().filter_map(|one| pieces.push(one)).collect();
            assert!(given.iter().all(|piece| !piece.is_empty()));
            assert_eq!(given.concat(), written.concat().trim(), "{written:?}");
            assert_eq!(pieces.finish(), written.concat().trim());
        }
    }
}
