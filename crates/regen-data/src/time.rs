//! Times of the public releases: seconds in 2014 and 2018, milliseconds in 2023.

/// Seconds since 1970-01-01 UTC of a number that is in seconds or milliseconds. As seconds, 10¹¹ lies in the
/// year 5138; as milliseconds, in March 1973: no purchase is in doubt.
pub(crate) fn seconds(number: i64) -> i64 {
    if number.unsigned_abs() >= 100_000_000_000 { number.div_euclid(1000) } else { number }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_milliseconds_are_told_apart() {
        assert_eq!(seconds(1_529_193_600), 1_529_193_600);
        assert_eq!(seconds(1_627_679_830_425), 1_627_679_830);
        assert_eq!(seconds(0), 0);
        assert_eq!(seconds(-1), -1);
        assert_eq!(seconds(i64::MIN), i64::MIN.div_euclid(1000));
    }
}
