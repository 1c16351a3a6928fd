//! Times of the public releases: seconds in 2014 and 2018, milliseconds in 2023.

/// Seconds since 1970-01-01 UTC of a number that is in seconds or milliseconds. As seconds, 10¹¹ lies in the
/// year 5138; as milliseconds, in March 1973: no purchase is in doubt.
pub(crate) fn seconds(number: i64) -> i64 {
    if number.unsigned_abs() >= 100_000_000_000 { number.div_euclid(1000) } else { number }
}

/// The day of a time, `YYYY-MM-DD` in UTC.
///
/// **Source** Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`: eras of 400 years, years
/// that begin in March.
pub(crate) fn day(seconds: i64) -> String {
    let days = seconds.div_euclid(86_400) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_agree_with_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (1_393_545_600, "2014-02-28"),
            (1_529_193_599, "2018-06-16"),
            (-1, "1969-12-31"),
        ] {
            assert_eq!(day(seconds), expected);
        }
    }

    #[test]
    fn seconds_and_milliseconds_are_told_apart() {
        assert_eq!(seconds(1_529_193_600), 1_529_193_600);
        assert_eq!(seconds(1_627_679_830_425), 1_627_679_830);
        assert_eq!(seconds(0), 0);
        assert_eq!(seconds(-1), -1);
        assert_eq!(seconds(i64::MIN), i64::MIN.div_euclid(1000));
    }
}
