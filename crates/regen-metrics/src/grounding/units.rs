//! Units of length, volume and weight, and quantities that can be compared across them.

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dimension {
    Length,
    Volume,
    Weight,
}

/// A unit: its dimension and its size in metres, litres or kilograms.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
#[serde(into = "&'static str")]
pub struct Unit(&'static Row);

#[derive(Debug, PartialEq)]
struct Row {
    names: &'static [&'static str],
    dimension: Dimension,
    factor: f64,
}

const fn row(names: &'static [&'static str], dimension: Dimension, factor: f64) -> Row {
    Row { names, dimension, factor }
}

/// Names in lower case, the usual one first. Miles and kilometres are missing on purpose: items are not that long.
/// An ounce is taken as a weight, a fluid ounce as a volume; see [`Quantity::agrees_with`].
static UNITS: &[Row] = &[
    row(&["inch", "inches", "in", "\"", "″", "”"], Dimension::Length, 0.0254),
    row(&["foot", "feet", "ft"], Dimension::Length, 0.3048),
    row(&["yard", "yards", "yd", "yds"], Dimension::Length, 0.9144),
    row(&["millimetre", "millimetres", "millimeter", "millimeters", "mm"], Dimension::Length, 0.001),
    row(&["centimetre", "centimetres", "centimeter", "centimeters", "cm"], Dimension::Length, 0.01),
    row(&["metre", "metres", "meter", "meters", "m"], Dimension::Length, 1.0),
    row(&["millilitre", "millilitres", "milliliter", "milliliters", "ml"], Dimension::Volume, 0.001),
    row(&["litre", "litres", "liter", "liters", "l"], Dimension::Volume, 1.0),
    row(&["fluid ounce", "fluid ounces", "fl oz"], Dimension::Volume, 0.029_573_529_562_5),
    row(&["pint", "pints", "pt"], Dimension::Volume, 0.473_176_473),
    row(&["quart", "quarts", "qt"], Dimension::Volume, 0.946_352_946),
    row(&["gallon", "gallons", "gal"], Dimension::Volume, 3.785_411_784),
    row(&["ounce", "ounces", "oz"], Dimension::Weight, 0.028_349_523_125),
    row(&["pound", "pounds", "lb", "lbs"], Dimension::Weight, 0.453_592_37),
    row(&["gram", "grams", "g"], Dimension::Weight, 0.001),
    row(&["kilogram", "kilograms", "kilo", "kilos", "kg"], Dimension::Weight, 1.0),
];

impl Unit {
    /// The unit of a name such as `inch`, `cm` or `fl oz`, in any case.
    pub fn named(name: &str) -> Option<Self> {
        let name = name.to_lowercase();
        UNITS.iter().find(|row| row.names.contains(&name.as_str())).map(Self)
    }

    /// The usual name.
    pub fn name(self) -> &'static str {
        self.0.names[0]
    }
}

impl From<Unit> for &'static str {
    fn from(unit: Unit) -> Self {
        unit.name()
    }
}

/// A number with a unit.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Quantity {
    /// The number.
    pub value: f64,
    /// Its unit.
    pub unit: Unit,
    /// Half of the last decimal that was written: how far the number may be rounded.
    pub(super) rounding: f64,
}

impl Quantity {
    /// A quantity of a known unit; `None` for a unit that the lexicon lacks.
    pub fn new(value: f64, unit: &str) -> Option<Self> {
        Unit::named(unit).map(|unit| Self { value, unit, rounding: 0.0 })
    }

    pub(super) fn written(value: f64, decimals: u8, unit: Unit) -> Self {
        Self { value, unit, rounding: 0.5 * 10f64.powi(-i32::from(decimals)) }
    }

    /// Whether the two measure the same thing, so that they can be compared.
    pub fn compares_with(&self, other: &Self) -> bool {
        self.unit.0.dimension == other.unit.0.dimension || self.ounces_of(other) || other.ounces_of(self)
    }

    /// Whether `self`, as written, is `other` up to rounding and 1 %. A plain ounce agrees with a fluid one, because
    /// labels drop the "fl".
    pub fn agrees_with(&self, other: &Self) -> bool {
        let converted = if self.ounces_of(other) || other.ounces_of(self) {
            other.value
        } else if self.unit.0.dimension == other.unit.0.dimension {
            other.value * other.unit.0.factor / self.unit.0.factor
        } else {
            return false;
        };
        (self.value - converted).abs() <= self.rounding.max(0.01 * converted.abs()) + 1e-9
    }

    fn ounces_of(&self, other: &Self) -> bool {
        self.unit.name() == "ounce" && other.unit.name() == "fluid ounce"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_compare_across_units_and_within_rounding() {
        let inch = Quantity::new(8.0, "Inch").unwrap();
        let cm = |value, decimals| Quantity::written(value, decimals, Unit::named("cm").unwrap());
        assert!(cm(20.3, 1).agrees_with(&inch));
        assert!(cm(20.0, 0).agrees_with(&inch));
        assert!(!cm(21.0, 0).agrees_with(&inch));
        assert!(!cm(20.3, 1).compares_with(&Quantity::new(8.0, "oz").unwrap()));
        assert!(Quantity::new(8.0, "oz").unwrap().agrees_with(&Quantity::new(8.0, "fl oz").unwrap()));
        assert!(Quantity::new(8.0, "parsec").is_none());
    }

    #[test]
    fn no_name_belongs_to_two_units() {
        let mut names: Vec<&str> = UNITS.iter().flat_map(|row| row.names).copied().collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
