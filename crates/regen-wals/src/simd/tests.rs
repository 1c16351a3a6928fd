//! Every level computes the same.

use super::*;

struct Transpose;
impl Kernel for Transpose {
    type Output = ();
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let source: Vec<f32> = (0..L::WIDTH * L::WIDTH).map(|k| k as f32).collect();
        let mut target = vec![L::Block::default(); L::WIDTH];
        l.transpose(|r| l.load_slice(&source[r * L::WIDTH..]), |r, v| l.store(&mut target[r], v));
        for r in 0..L::WIDTH {
            for c in 0..L::WIDTH {
                assert_eq!(flat(&target)[r * L::WIDTH + c], source[c * L::WIDTH + r]);
            }
        }
    }
}

struct Arithmetic;
impl Kernel for Arithmetic {
    type Output = Vec<f32>;
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) -> Vec<f32> {
        let (a, b, c) = (l.splat(6.0), l.splat(1.5), l.splat(0.25));
        [
            l.add(a, b),
            l.sub(a, b),
            l.mul(a, b),
            l.div(a, b),
            l.min(a, b),
            l.sqrt(c),
            l.fma(a, b, c),
            l.fnma(a, b, c),
        ]
        .map(|v| l.sum(v) / L::WIDTH as f32)
        .to_vec()
    }
}

struct Sums;
impl Kernel for Sums {
    type Output = ();
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let numbers: Vec<f32> = (0..3 * L::WIDTH).map(|k| (k * k) as f32).collect();
        let [a, b, c] = [0, 1, 2].map(|k| l.load_slice(&numbers[k * L::WIDTH..]));
        let sums = numbers.chunks_exact(L::WIDTH).map(|numbers| numbers.iter().sum::<f32>());
        assert_eq!(l.sums([a, b, c]).to_vec(), sums.collect::<Vec<_>>());
        assert_eq!(l.sums([b]), [l.sum(b)]);
    }
}

#[test]
fn every_level_computes_the_same() {
    for level in Level::available() {
        dispatch(level, Transpose);
        dispatch(level, Sums);
        assert_eq!(dispatch(level, Arithmetic), [7.5, 4.5, 9.0, 4.0, 1.5, 0.5, 9.25, -8.75], "{level:?}");
    }
}
