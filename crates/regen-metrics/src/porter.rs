//! Porter's stemmer with the extensions of NLTK, which rouge-score and NLTK's METEOR use.
//!
//! Works on bytes where a word is ASCII and on characters elsewhere, by the same code: a suffix is always
//! ASCII, so letters of other scripts are simply consonants.
//!
//! **Source** Porter 1980, *An algorithm for suffix stripping*; steps are named as there.

/// A letter: a byte of an ASCII word or a character of any word.
pub(crate) trait Letter: Copy + Eq + From<u8> {}
impl Letter for u8 {}
impl Letter for char {}

/// Irregular forms of NLTK's table and their stems.
const IRREGULAR: [(&[u8], &[u8]); 15] = [
    (b"sky", b"sky"),
    (b"skies", b"sky"),
    (b"dying", b"die"),
    (b"lying", b"lie"),
    (b"tying", b"tie"),
    (b"news", b"news"),
    (b"innings", b"inning"),
    (b"inning", b"inning"),
    (b"outings", b"outing"),
    (b"outing", b"outing"),
    (b"cannings", b"canning"),
    (b"canning", b"canning"),
    (b"howe", b"howe"),
    (b"proceed", b"proceed"),
    (b"exceed", b"exceed"),
];

/// Replaces a lower-case word by its stem.
pub(crate) fn stem<L: Letter>(word: &mut Vec<L>) {
    if equals(word, b"succeed") {
        return;
    }
    if let Some((_, stem)) = IRREGULAR.iter().find(|(form, _)| equals(word, form)) {
        word.clear();
        word.extend(stem.iter().map(|&byte| L::from(byte)));
        return;
    }
    if word.len() <= 2 {
        return;
    }
    step_1a(word);
    step_1b(word);
    step_1c(word);
    step_2(word);
    step_3(word);
    step_4(word);
    step_5(word);
}

/// Plurals.
fn step_1a<L: Letter>(word: &mut Vec<L>) {
    if ends_with(word, b"ies") {
        let dropped = if word.len() == 4 { 1 } else { 2 };
        word.truncate(word.len() - dropped);
    } else if ends_with(word, b"sses") {
        word.truncate(word.len() - 2);
    } else if ends_with(word, b"s") && !ends_with(word, b"ss") {
        word.truncate(word.len() - 1);
    }
}

/// Past tense and gerund.
fn step_1b<L: Letter>(word: &mut Vec<L>) {
    if ends_with(word, b"ied") {
        let dropped = if word.len() == 4 { 1 } else { 2 };
        word.truncate(word.len() - dropped);
        return;
    }
    if ends_with(word, b"eed") {
        if measure(&word[..word.len() - 3]) > 0 {
            word.truncate(word.len() - 1);
        }
        return;
    }
    let Some(length) = [&b"ed"[..], b"ing"].iter().find_map(|suffix| {
        let length = word.len().checked_sub(suffix.len())?;
        (ends_with(word, suffix) && has_vowel(&word[..length])).then_some(length)
    }) else {
        return;
    };
    word.truncate(length);
    if ends_with(word, b"at") || ends_with(word, b"bl") || ends_with(word, b"iz") {
        word.push(L::from(b'e'));
    } else if ends_in_double_consonant(word) {
        if ![b'l', b's', b'z'].map(L::from).contains(&word[length - 1]) {
            word.truncate(length - 1);
        }
    } else if ends_with(word, b"*d") {
        // NLTK writes the rule above as a suffix called "*d", which a word may also literally have.
        word.truncate(length - 2);
        word.push(L::from(b'd'));
    } else if measure(word) == 1 && ends_in_short_syllable(word) {
        word.push(L::from(b'e'));
    }
}

/// Final y after a consonant.
fn step_1c<L: Letter>(word: &mut [L]) {
    let length = word.len();
    if ends_with(word, b"y") && length > 2 && is_consonant(word, length - 2) {
        word[length - 1] = L::from(b'i');
    }
}

fn step_2<L: Letter>(word: &mut Vec<L>) {
    // NLTK lets -alli go first and starts the step anew.
    while ends_with(word, b"alli") && measure(&word[..word.len() - 4]) > 0 {
        word.truncate(word.len() - 2);
    }
    const RULES: [(&[u8], &[u8]); 21] = [
        (b"ational", b"ate"),
        (b"tional", b"tion"),
        (b"enci", b"ence"),
        (b"anci", b"ance"),
        (b"izer", b"ize"),
        (b"bli", b"ble"),
        (b"alli", b"al"),
        (b"entli", b"ent"),
        (b"eli", b"e"),
        (b"ousli", b"ous"),
        (b"ization", b"ize"),
        (b"ation", b"ate"),
        (b"ator", b"ate"),
        (b"alism", b"al"),
        (b"iveness", b"ive"),
        (b"fulness", b"ful"),
        (b"ousness", b"ous"),
        (b"aliti", b"al"),
        (b"iviti", b"ive"),
        (b"biliti", b"ble"),
        (b"fulli", b"ful"),
    ];
    if !replace_suffix(word, &RULES, 1, |_| true)
        && ends_with(word, b"logi")
        // The l counts to the stem, so that geo-logi and theo-logi are long enough.
        && measure(&word[..word.len() - 3]) > 0
    {
        word.truncate(word.len() - 1);
    }
}

fn step_3<L: Letter>(word: &mut Vec<L>) {
    const RULES: [(&[u8], &[u8]); 7] = [
        (b"icate", b"ic"),
        (b"ative", b""),
        (b"alize", b"al"),
        (b"iciti", b"ic"),
        (b"ical", b"ic"),
        (b"ful", b""),
        (b"ness", b""),
    ];
    replace_suffix(word, &RULES, 1, |_| true);
}

fn step_4<L: Letter>(word: &mut Vec<L>) {
    const RULES: [(&[u8], &[u8]); 19] = [
        (b"al", b""),
        (b"ance", b""),
        (b"ence", b""),
        (b"er", b""),
        (b"ic", b""),
        (b"able", b""),
        (b"ible", b""),
        (b"ant", b""),
        (b"ement", b""),
        (b"ment", b""),
        (b"ent", b""),
        (b"ion", b""),
        (b"ou", b""),
        (b"ism", b""),
        (b"ate", b""),
        (b"iti", b""),
        (b"ous", b""),
        (b"ive", b""),
        (b"ize", b""),
    ];
    let ion = ends_with(word, b"ion");
    replace_suffix(word, &RULES, 2, |stem| !ion || ends_with(stem, b"s") || ends_with(stem, b"t"));
}

/// Final e and double l.
fn step_5<L: Letter>(word: &mut Vec<L>) {
    if ends_with(word, b"e") {
        let stem = &word[..word.len() - 1];
        let measure = measure(stem);
        if measure > 1 || (measure == 1 && !ends_in_short_syllable(stem)) {
            word.truncate(word.len() - 1);
        }
    }
    if ends_with(word, b"ll") && measure(&word[..word.len() - 1]) > 1 {
        word.truncate(word.len() - 1);
    }
}

/// Finds the first suffix that the word has and replaces it if the stem is long enough; says whether
/// there was such a suffix, replaced or not.
fn replace_suffix<L: Letter>(
    word: &mut Vec<L>,
    rules: &[(&[u8], &[u8])],
    least_measure: usize,
    allowed: impl Fn(&[L]) -> bool,
) -> bool {
    let Some((suffix, replacement)) = rules.iter().find(|(suffix, _)| ends_with(word, suffix)) else {
        return false;
    };
    let stem = &word[..word.len() - suffix.len()];
    if measure(stem) >= least_measure && allowed(stem) {
        word.truncate(word.len() - suffix.len());
        word.extend(replacement.iter().map(|&byte| L::from(byte)));
    }
    true
}

fn equals<L: Letter>(word: &[L], text: &[u8]) -> bool {
    word.len() == text.len() && ends_with(word, text)
}

fn ends_with<L: Letter>(word: &[L], suffix: &[u8]) -> bool {
    word.len() >= suffix.len()
        && word[word.len() - suffix.len()..].iter().zip(suffix).all(|(&a, &b)| a == L::from(b))
}

fn is_vowel_letter<L: Letter>(letter: L) -> bool {
    [b'a', b'e', b'i', b'o', b'u'].map(L::from).contains(&letter)
}

/// Walks over a word, telling for each letter whether it is a consonant: y is one unless it follows one.
fn consonants<L: Letter>(word: &[L]) -> impl Iterator<Item = bool> {
    let mut before = false;
    word.iter().map(move |&letter| {
        before = if letter == L::from(b'y') { !before } else { !is_vowel_letter(letter) };
        before
    })
}

fn is_consonant<L: Letter>(word: &[L], at: usize) -> bool {
    consonants(&word[..=at]).last().unwrap_or(false)
}

/// The number of vowel-consonant sequences.
fn measure<L: Letter>(stem: &[L]) -> usize {
    let mut vowel_before = false;
    consonants(stem)
        .filter(|&consonant| {
            let ends_sequence = consonant && vowel_before;
            vowel_before = !consonant;
            ends_sequence
        })
        .count()
}

fn has_vowel<L: Letter>(stem: &[L]) -> bool {
    consonants(stem).any(|consonant| !consonant)
}

fn ends_in_double_consonant<L: Letter>(word: &[L]) -> bool {
    let length = word.len();
    length >= 2 && word[length - 1] == word[length - 2] && is_consonant(word, length - 1)
}

/// Consonant, vowel, consonant other than w, x, y; or (NLTK) a word of vowel and consonant.
fn ends_in_short_syllable<L: Letter>(word: &[L]) -> bool {
    let length = word.len();
    if length == 2 {
        return !is_consonant(word, 0) && is_consonant(word, 1);
    }
    length >= 3
        && is_consonant(word, length - 3)
        && !is_consonant(word, length - 2)
        && is_consonant(word, length - 1)
        && ![b'w', b'x', b'y'].map(L::from).contains(&word[length - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stems_equal_those_of_nltk() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/porter/stems.tsv");
        let table = std::fs::read_to_string(path).unwrap();
        assert!(table.lines().count() > 4_000);
        for line in table.lines() {
            let (word, expected) = line.split_once('\t').unwrap();
            let mut characters: Vec<char> = word.chars().collect();
            stem(&mut characters);
            assert_eq!(characters.iter().collect::<String>(), expected, "stem of {word}");
            if word.is_ascii() {
                let mut bytes = word.as_bytes().to_vec();
                stem(&mut bytes);
                assert_eq!(bytes, expected.as_bytes(), "stem of {word} as bytes");
            }
        }
    }
}
