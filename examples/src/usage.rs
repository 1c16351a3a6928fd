//! Flags that would be ignored: a run that does not do what its command line says is not begun.

use clap::ArgMatches;
use clap::parser::ValueSource;

/// Some flags, whether anything reads them in this run, and what does.
#[derive(Debug, Clone, Copy)]
pub struct Rule<'a> {
    /// Their fields.
    pub flags: &'a [&'static str],
    /// Whether they are read.
    pub read: bool,
    /// With what they are read.
    pub with: &'a str,
}

/// What is wrong with a command line that gives a flag which nothing reads; `None` where all are read. Defaults and variables of the
/// environment are no flags that were given.
pub fn unread(matches: &ArgMatches, rules: &[Rule<'_>]) -> Option<String> {
    let given = |flag: &str| matches.value_source(flag) == Some(ValueSource::CommandLine);
    let broken = rules.iter().filter(|rule| !rule.read).find_map(|rule| {
        let flag = rule.flags.iter().find(|flag| given(flag))?;
        Some((flag.replace('_', "-"), rule.with))
    });
    broken.map(|(flag, with)| format!("--{flag} is for {with}, and would be ignored"))
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[derive(Parser)]
    struct Args {
        #[arg(long, default_value_t = 256)]
        mlp_width: i64,
        #[arg(long)]
        experts: Option<usize>,
    }

    #[test]
    fn a_flag_that_is_given_and_not_read_is_named_and_a_default_is_not() {
        let of = |line: &[&str], mlp: bool| {
            let matches = Args::command().get_matches_from([&["program"], line].concat());
            let rules = [
                Rule { flags: &["mlp_width"], read: mlp, with: "--adapter mlp" },
                Rule { flags: &["experts", "mlp_width"], read: true, with: "anything" },
            ];
            unread(&matches, &rules)
        };
        assert_eq!(of(&[], false), None);
        assert_eq!(of(&["--mlp-width", "64"], true), None);
        let told = of(&["--experts", "2", "--mlp-width", "256"], false).unwrap();
        assert_eq!(told, "--mlp-width is for --adapter mlp, and would be ignored");
    }
}
