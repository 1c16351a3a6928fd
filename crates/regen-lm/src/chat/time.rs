//! The date that a chat template may ask for. It comes from the caller: what is rendered follows from the arguments.

/// A date and time of day as the caller's clock shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChatTime {
    /// The year, for instance 2025.
    pub year: u32,
    /// 1 to 12.
    pub month: u32,
    /// 1 to 31.
    pub day: u32,
    /// 0 to 23.
    pub hour: u32,
    /// 0 to 59.
    pub minute: u32,
    /// 0 to 59.
    pub second: u32,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

impl ChatTime {
    /// As C's `strftime` in English; `Err` names a directive that is not known, or a field out of its range.
    pub(super) fn format(&self, format: &str) -> Result<String, String> {
        if !(1..=12).contains(&self.month) || !(1..=31).contains(&self.day) {
            return Err(format!("no such day: {self:?}"));
        }
        let month = MONTHS[self.month as usize - 1];
        let weekday = DAYS[self.weekday()];
        let twelve = (self.hour + 11) % 12 + 1;
        let half = if self.hour < 12 { "AM" } else { "PM" };
        let mut out = String::new();
        let mut letters = format.chars();
        while let Some(letter) = letters.next() {
            if letter != '%' {
                out.push(letter);
                continue;
            }
            let directive = letters.next();
            // `%-d` leaves the zero out.
            let (plain, directive) =
                if directive == Some('-') { (true, letters.next()) } else { (false, directive) };
            let number = |value: u32| if plain { value.to_string() } else { format!("{value:02}") };
            out += &match directive {
                Some('Y') => self.year.to_string(),
                Some('y') => number(self.year % 100),
                Some('m') => number(self.month),
                Some('d') => number(self.day),
                Some('B') => month.to_owned(),
                Some('b' | 'h') => month[..3].to_owned(),
                Some('A') => weekday.to_owned(),
                Some('a') => weekday[..3].to_owned(),
                Some('H') => number(self.hour),
                Some('I') => number(twelve),
                Some('p') => half.to_owned(),
                Some('M') => number(self.minute),
                Some('S') => number(self.second),
                Some('F') => format!("{}-{:02}-{:02}", self.year, self.month, self.day),
                Some('T') => format!("{:02}:{:02}:{:02}", self.hour, self.minute, self.second),
                Some('%') => "%".to_owned(),
                other => {
                    return Err(format!("the directive %{}", other.map(String::from).unwrap_or_default()));
                }
            };
        }
        Ok(out)
    }

    /// Days after Sunday.
    ///
    /// **Source** Sakamoto 1993, comp.lang.c.
    fn weekday(&self) -> usize {
        const SHIFTS: [u32; 12] = [0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4];
        let year = self.year - u32::from(self.month < 3 && self.year > 0);
        ((year + year / 4 - year / 100 + year / 400 + SHIFTS[self.month as usize - 1] + self.day) % 7)
            as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_c_writes_them() {
        let time = ChatTime { year: 2024, month: 2, day: 9, hour: 13, minute: 5, second: 0 };
        for (format, expected) in [
            ("%d %b %Y", "09 Feb 2024"),
            ("%Y-%m-%d", "2024-02-09"),
            ("%F %T", "2024-02-09 13:05:00"),
            ("%A, %B %-d, %y at %I:%M %p", "Friday, February 9, 24 at 01:05 PM"),
            ("100%%", "100%"),
        ] {
            assert_eq!(time.format(format).unwrap(), expected);
        }
        assert!(time.format("%Q").unwrap_err().contains("%Q"));
        assert!(ChatTime { month: 13, ..time }.format("%d").is_err());
        // Around the end of a century, on both sides of a leap day.
        for (year, month, day, expected) in
            [(2000, 2, 29, "Tue"), (1999, 12, 31, "Fri"), (2025, 1, 1, "Wed"), (2100, 3, 1, "Mon")]
        {
            assert_eq!(
                ChatTime { year, month, day, ..time }.format("%a").unwrap(),
                expected,
                "{year}-{month}-{day}"
            );
        }
    }
}
