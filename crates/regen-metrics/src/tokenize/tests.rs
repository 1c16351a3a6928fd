//! The one-pass scanners against the chains of substitutions that define them, over every short string.

use regex::Regex;

use super::BleuTokenizer;

/// sacrebleu's way: substitute in turn, then split.
fn chain(rules: &[(Regex, &str)], text: &str) -> Vec<String> {
    let mut text = text.to_owned();
    for (pattern, replacement) in rules {
        text = pattern.replace_all(&text, *replacement).into_owned();
    }
    super::split_python(&text).map(str::to_owned).collect()
}

fn western() -> Vec<(Regex, &'static str)> {
    [
        (r"([\{-\~\[-\` -\&\(-\+\:-\@\/])", " $1 "),
        (r"([^0-9])([\.,])", "$1 $2 "),
        (r"([\.,])([^0-9])", " $1 $2"),
        (r"([0-9])(-)", "$1 $2 "),
    ]
    .map(|(pattern, replacement)| (Regex::new(&format!("(?s){pattern}")).unwrap(), replacement))
    .into()
}

fn international() -> Vec<(Regex, &'static str)> {
    [(r"(\P{N})(\p{P})", "$1 $2 "), (r"(\p{P})(\P{N})", " $1 $2"), (r"(\p{S})", " $1 ")]
        .map(|(pattern, replacement)| (Regex::new(pattern).unwrap(), replacement))
        .into()
}

fn every_string(alphabet: &[char], longest: usize, mut check: impl FnMut(&str)) {
    let mut digits = vec![];
    loop {
        let text: String = digits.iter().map(|&digit: &usize| alphabet[digit]).collect();
        check(&text);
        let Some(place) = digits.iter().rposition(|&digit| digit + 1 < alphabet.len()) else {
            if digits.len() == longest {
                return;
            }
            digits = vec![0; digits.len() + 1];
            continue;
        };
        digits[place] += 1;
        digits[place + 1..].fill(0);
    }
}

#[test]
fn the_13a_scanner_equals_its_substitutions_on_every_short_string() {
    let rules = western();
    let mut strings = 0usize;
    every_string(&['a', '5', '.', '-', '(', ' ', 'é'], 6, |text| {
        // Trailing space is stripped before the rules, as in sacrebleu.
        let text = text.trim_end();
        let expected = chain(&rules, &format!(" {text} "));
        assert_eq!(BleuTokenizer::V13a.tokenize(text), expected, "{text:?}");
        strings += 1;
    });
    assert_eq!(strings, (0..=6).map(|length| 7usize.pow(length)).sum::<usize>());
}

#[test]
fn the_zh_scanner_equals_its_substitutions_on_every_short_string() {
    let rules = western();
    every_string(&['a', '5', ',', '-', '(', ' ', '中'], 5, |text| {
        let text = text.trim();
        let expected = chain(&rules, &text.replace('中', " 中 "));
        assert_eq!(BleuTokenizer::Zh.tokenize(text), expected, "{text:?}");
    });
}

#[test]
fn the_intl_scanner_equals_its_substitutions_on_every_short_string() {
    let rules = international();
    every_string(&['a', '5', '.', '-', '$', ' ', '½'], 6, |text| {
        let text = text.trim_end();
        assert_eq!(BleuTokenizer::Intl.tokenize(text), chain(&rules, text), "{text:?}");
    });
}

#[test]
fn every_single_ascii_character_is_cut_as_by_the_substitutions() {
    let (western, international) = (western(), international());
    for character in '\0'..='\x7f' {
        for text in [format!("a{character}5{character}b"), format!("{character}")] {
            let text = super::whitespace::trim_end_python(&text);
            if !text.contains(['\n', '<', '&']) {
                let padded = format!(" {text} ");
                assert_eq!(BleuTokenizer::V13a.tokenize(text), chain(&western, &padded), "{text:?}");
            }
            assert_eq!(BleuTokenizer::Intl.tokenize(text), chain(&international, text), "{text:?}");
        }
    }
}

#[test]
fn escapes_are_undone_in_the_order_of_the_script() {
    let words = |text| BleuTokenizer::V13a.tokenize(text);
    assert_eq!(words("a&amp;lt;b"), ["a", "<", "b"]);
    assert_eq!(words("&quot;x&quot;"), ["\"", "x", "\""]);
    assert_eq!(words("hyphen-\nated li<skipped>ne\nnext"), ["hyphenated", "line", "next"]);
}
