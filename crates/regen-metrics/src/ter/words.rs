//! The word rules of Tercom as sacrebleu has them.

use crate::tokenize::{Ends, Span, split_python, trim_end_python, western};
use crate::vocabulary::Vocabulary;

use super::metric::TerConfig;

/// The numbers of a hypothesis's words.
pub(super) fn read_hypothesis(
    text: &str,
    config: &TerConfig,
    spans: &mut Vec<Span>,
    vocabulary: &mut Vocabulary,
    words: &mut Vec<u32>,
) {
    words.clear();
    cut(text, config, spans, |word| words.push(vocabulary.intern(word.as_bytes())));
}

/// The numbers of a reference's words.
///
/// sacrebleu cuts references twice. That changes nothing but normalised text, where a dot that the first
/// round left glued to a number stands after a space in the second: ` .5` becomes ` . 5`.
pub(super) fn read_reference(
    text: &str,
    config: &TerConfig,
    spans: &mut Vec<Span>,
    vocabulary: &mut Vocabulary,
    words: &mut Vec<u32>,
) {
    if !config.normalized {
        return read_hypothesis(text, config, spans, vocabulary, words);
    }
    let mut once = String::with_capacity(2 * text.len());
    cut(text, config, spans, |word| {
        once.push_str(word);
        once.push(' ');
    });
    read_hypothesis(&once, config, spans, vocabulary, words);
}

fn cut(text: &str, config: &TerConfig, spans: &mut Vec<Span>, mut push: impl FnMut(&str)) {
    let text = trim_end_python(text);
    let lowered = (!config.case_sensitive).then(|| text.to_lowercase());
    let text = lowered.as_deref().unwrap_or(text);
    let mut push = |word: &str| {
        if !config.no_punct {
            return push(word);
        }
        let dropped = |c: char| is_dropped(c, config.asian_support);
        let kept: String = word.chars().filter(|&c| !dropped(c)).collect();
        if !kept.is_empty() {
            push(&kept);
        }
    };
    if !config.normalized {
        split_python(text).for_each(push);
        return;
    }
    let text = plain(text);
    spans.clear();
    western(&text, Ends::Space, |c| config.asian_support && is_asian(c), spans);
    for span in spans.iter() {
        let word = &text[span.range()];
        match word.strip_suffix("'s") {
            // A possessive is a word of its own unless a dot, a comma or other white space follows.
            Some(owner) if !owner.is_empty() && ends_possessive(&text[span.range().end..]) => {
                push(owner);
                push("'s");
            }
            _ => push(word),
        }
    }
}

fn ends_possessive(rest: &str) -> bool {
    rest.chars().next().is_none_or(|next| {
        next == ' ' || next.is_ascii_punctuation() && !matches!(next, '.' | ',' | '-' | '\'')
    })
}

/// Joined lines and undone escapes, in the order of the script.
fn plain(text: &str) -> String {
    let mut text = text.replace("\n-", "").replace('\n', " ");
    for (escaped, plain) in [("&quot;", "\""), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")] {
        text = text.replace(escaped, plain);
    }
    text
}

/// Characters that `asian_support` makes words of their own.
///
/// The script also has rules for runs of kana, but they are anchored to the beginning of a line that then
/// always begins with a space, so that they never apply.
fn is_asian(character: char) -> bool {
    matches!(character,
        '\u{4e00}'..='\u{9fff}' | '\u{3400}'..='\u{4dbf}'
        | '\u{31c0}'..='\u{31ef}' | '\u{2e80}'..='\u{2eff}'
        | '\u{3300}'..='\u{33ff}' | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe4f}'
        | '\u{3200}'..='\u{3f22}')
        || is_asian_punctuation(character)
}

fn is_asian_punctuation(character: char) -> bool {
    matches!(character,
        '\u{3001}' | '\u{3002}' | '\u{3008}'..='\u{3011}' | '\u{3014}'..='\u{301f}'
        | '\u{ff61}'..='\u{ff65}' | '\u{30fb}'
        | '\u{ff0e}' | '\u{ff0c}' | '\u{ff1f}' | '\u{ff1a}' | '\u{ff1b}' | '\u{ff01}'
        | '\u{ff02}' | '\u{ff08}' | '\u{ff09}')
}

fn is_dropped(character: char, asian_support: bool) -> bool {
    matches!(character, '.' | ',' | '?' | ':' | ';' | '!' | '"' | '(' | ')')
        || asian_support && is_asian_punctuation(character)
}
