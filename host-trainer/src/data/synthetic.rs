//! Handwritten-looking digits that midge draws itself, in the manner of MNIST: for demos, tests
//! and first steps without a download.
//!
//! A digit is a few pen strokes, each a list of points a smooth curve passes through. Every drawing
//! moves the points, bends, slants, turns and stretches the result, picks a pen and paints with
//! soft edges. The frame follows the MNIST recipe: 28x28, ink scaled into a 20x20 box, centre of
//! mass in the middle, background exactly 0.
//!
//! A drawing depends on its seed and index alone. Only exactly rounded operations are used (no
//! sine, no logarithm), so machines agree bit for bit whatever their maths library.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;
use rayon::prelude::*;

use super::Dataset;
use super::input::unit;
use crate::random;

/// Height and width of a drawing in pixels.
pub const SIDE: usize = 28;

/// Where the test split starts: a multiple of ten no training split reaches.
pub const TEST_FIRST_INDEX: u64 = 10_000_000_000;

/// The longest side the ink may have, in pixels.
const BOX: f32 = 20.0;

/// Half the width of the soft edge of a stroke, in pixels.
const SOFT: f32 = 0.65;

type Point = [f32; 2];

/// The ways to write each digit, equally likely. Strokes are parted by `/` and read "x y x y ..."
/// in hundredths of the digit's height, y downwards. Strokes meet where they share a point, and a
/// stroke that ends where it began is closed. Most people write 1 as a bare bar.
const STYLES: [&[&str]; 10] = [
    &[
        "36 2 14 14 2 46 8 80 30 99 54 86 66 52 58 16 36 2",
        "46 4 20 8 3 42 10 84 36 98 60 76 66 40 52 10 28 3",
        "40 0 16 18 4 54 12 90 32 99 52 80 60 44 54 14 40 0",
    ],
    &[
        "30 0 30 50 30 100",
        "29 0 30 30 28 60 30 100",
        "33 0 30 45 30 100",
        "30 0 31 40 29 100",
        "28 0 30 55 33 100",
        "30 0 30 100",
        "31 0 29 50 31 100",
        "12 20 32 0 / 32 0 31 50 30 100",
        "12 22 32 0 / 32 0 32 98 / 4 98 62 97",
    ],
    &[
        "5 22 18 4 40 0 58 14 56 36 36 66 4 96 / 4 96 36 95 72 93",
        "6 20 24 2 48 4 56 24 44 54 22 84 6 98 0 90 10 80 30 86 50 97 74 92",
        "4 14 30 0 54 8 56 30 40 60 8 88 / 8 88 30 84 52 96 76 90",
    ],
    &[
        "6 12 24 0 48 4 54 22 42 40 22 47 / 22 47 46 52 60 70 50 92 26 100 2 90",
        "4 10 28 0 52 12 44 34 24 48 46 54 58 72 44 94 20 100 0 88",
        "6 3 54 2 / 54 2 26 38 / 26 38 50 46 60 68 46 94 20 100 0 88",
    ],
    &[
        "10 4 6 28 6 50 / 6 50 34 52 60 46 / 56 0 50 46 44 100",
        "46 0 22 34 2 62 / 2 62 36 60 72 58 / 46 0 46 50 44 100",
        "8 6 4 34 16 50 38 46 56 30 / 58 4 52 52 46 100",
        "16 2 2 54 36 54 66 50 / 44 24 40 62 36 100",
    ],
    &[
        "12 2 8 42 / 8 42 30 36 54 50 58 74 40 96 16 98 0 86 / 12 2 36 2 60 0",
        "70 0 44 3 20 6 / 20 6 12 40 / 12 40 36 44 48 64 38 90 12 100 -6 92",
        "60 2 36 0 20 8 12 30 26 42 50 54 54 78 36 98 4 94",
    ],
    &[
        "46 0 24 16 6 48 6 80 26 100 50 88 52 66 34 54 14 64 6 80",
        "36 0 14 30 4 66 14 94 38 98 54 80 46 60 24 58 8 72",
        "26 0 8 28 2 62 16 94 46 94 62 72 50 52 28 58 20 80",
    ],
    &[
        "0 6 28 5 58 4 / 58 4 44 36 30 66 20 100",
        "0 14 14 4 40 3 58 10 52 34 38 64 28 100",
        "0 6 28 5 58 4 / 58 4 44 36 30 66 22 100 / 14 54 58 48",
    ],
    &[
        "54 14 34 0 12 12 16 32 36 48 54 68 46 92 24 100 6 86 12 66 34 46 52 30 54 14",
        "30 0 10 12 14 36 32 46 50 34 52 12 30 0 / 32 46 8 64 8 90 32 100 56 88 54 62 32 46",
        "62 8 40 0 16 8 16 28 38 48 48 74 34 98 12 94 10 72 36 46 60 22 62 8",
    ],
    &[
        "52 14 30 2 8 16 6 38 24 48 44 36 52 14 / 52 14 50 54 44 100",
        "54 14 30 0 8 16 8 42 26 52 48 38 54 14 / 54 14 54 54 46 84 28 99 12 98",
        "54 10 36 2 12 16 8 36 24 46 44 34 54 10 / 54 10 40 54 22 100",
    ],
];

/// Random numbers for one drawing.
struct Dice(Xoshiro256PlusPlus);

impl Dice {
    /// Neighbouring seeds and indices must not give related drawings, so both are scrambled
    /// (with the finaliser of SplitMix64) before they meet.
    fn new(seed: u64, index: u64) -> Self {
        let scramble = |mut z: u64| {
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        let mixed = scramble(seed.wrapping_add(0x9e37_79b9_7f4a_7c15)) ^ index;
        Self(Xoshiro256PlusPlus::seed_from_u64(scramble(mixed)))
    }

    /// Uniform in 0 to 1, from 24 random bits.
    fn unit(&mut self) -> f32 {
        random::unit(&mut self.0)
    }

    /// Roughly normal with mean 0 and deviation 1, never beyond 3.5: four uniforms added up.
    fn bell(&mut self) -> f32 {
        let sum = self.unit() + self.unit() + self.unit() + self.unit();
        (sum - 2.0) * 3.0_f32.sqrt()
    }
}

/// A straight piece of a stroke, with the pen's radius at both ends, in pixels.
struct Piece {
    ends: [Point; 2],
    radii: [f32; 2],
}

/// Draws one digit: row-major pixels, 0 background to 255 ink, and the label `index % 10`.
///
/// The result is a pure function of the arguments.
pub fn draw(seed: u64, index: u64) -> ([u8; SIDE * SIDE], u8) {
    let digit = (index % 10) as u8;
    let mut dice = Dice::new(seed, index);
    let mut strokes = pen_paths(&mut dice, usize::from(digit));
    distort(&mut dice, &mut strokes, digit);
    let pieces = fit(&mut dice, &strokes);
    (centre(&paint(&pieces)), digit)
}

/// Draws the digits `first_index` to `first_index + n`, in that order, on all cores.
pub fn dataset(seed: u64, n: usize, first_index: u64) -> Dataset {
    let drawn: Vec<_> = (0..n as u64).into_par_iter().map(|i| draw(seed, first_index.wrapping_add(i))).collect();
    let images = drawn.iter().flat_map(|(pixels, _)| pixels.map(unit)).collect();
    let labels = drawn.iter().map(|(_, label)| u16::from(*label)).collect();
    Dataset::new(images, labels, [SIDE, SIDE, 1], format!("synthetic (seed {seed})"))
}

/// Picks a style, moves its points a little, and follows the curves through them.
fn pen_paths(dice: &mut Dice, digit: usize) -> Vec<Vec<Point>> {
    // Points that coincide must move together, or strokes that meet would come apart.
    let mut moved: Vec<([f32; 2], Point)> = Vec::new();
    let mut paths = Vec::new();
    let styles = STYLES[digit];
    let style = styles[(dice.unit() * styles.len() as f32) as usize];
    for stroke in style.split('/') {
        let numbers: Vec<f32> = stroke.split_whitespace().flat_map(str::parse).collect();
        let mut points = Vec::new();
        for at in numbers.chunks_exact(2).map(|xy| [xy[0], xy[1]]) {
            let known = moved.iter().find(|(from, _)| *from == at).map(|m| m.1);
            let point = known.unwrap_or_else(|| at.map(|v| v / 100.0 + 0.022 * dice.bell()));
            moved.push((at, point));
            points.push(point);
        }
        paths.push(smooth(&points));
    }
    paths
}

/// A Catmull-Rom curve through the points, eight samples per span.
fn smooth(points: &[Point]) -> Vec<Point> {
    let last = points.len() - 1;
    let closed = points[0] == points[last] && last > 2;
    let beyond = |end: Point, inner: Point| [0, 1].map(|k| 2.0 * end[k] - inner[k]);
    let (before, after) = if closed {
        (points[last - 1], points[1])
    } else {
        (beyond(points[0], points[1]), beyond(points[last], points[last - 1]))
    };
    let at = |i: usize| match i {
        0 => before,
        i if i > points.len() => after,
        i => points[i - 1],
    };
    let mut curve = vec![points[0]];
    for i in 0..last {
        let p = [at(i), at(i + 1), at(i + 2), at(i + 3)];
        for step in 1..=8 {
            let t = step as f32 / 8.0;
            curve.push([0, 1].map(|k| {
                let [a, b, c, d] = p.map(|point| point[k]);
                let (linear, square) = (c - a, 2.0 * a - 5.0 * b + 4.0 * c - d);
                b + 0.5 * t * (linear + t * (square + t * (3.0 * b - a - 3.0 * c + d)))
            }));
        }
    }
    curve
}

/// Bends, slants, stretches and turns the whole digit about its middle.
fn distort(dice: &mut Dice, strokes: &mut [Vec<Point>], digit: u8) {
    // People lean a lone bar further than anything else.
    let lean = if digit == 1 { 1.5 } else { 1.0 };
    let slant = lean * (0.12 + 0.17 * dice.bell());
    let aspect = 1.08 + 0.16 * dice.bell();
    // The half-angle form of a rotation needs neither sine nor cosine.
    let half = 0.035 * dice.bell();
    let norm = 1.0 + half * half;
    let (cos, sin) = ((1.0 - half * half) / norm, 2.0 * half / norm);
    let bend: [f32; 6] = std::array::from_fn(|_| 0.14 * dice.bell());
    for point in strokes.iter_mut().flatten() {
        let (x, y) = (point[0] - 0.3, point[1] - 0.5);
        let bent_x = x + bend[0] * x * y + bend[1] * y * y * 0.7 + bend[2] * x * x;
        let bent_y = y + bend[3] * x * y + bend[4] * y * y + bend[5] * x * x;
        let wide = bent_x * aspect - slant * bent_y;
        *point = [cos * wide - sin * bent_y, sin * wide + cos * bent_y];
    }
}

/// Chooses a pen and scales the strokes so that the ink, soft edge included, fills the box along
/// its longer side and starts at pixel 0 along both.
fn fit(dice: &mut Dice, strokes: &[Vec<Point>]) -> Vec<Piece> {
    let radius = (1.28 + 0.34 * dice.bell()).clamp(0.75, 2.1);
    let pressure = [0.1 * dice.bell(), 0.1 * dice.bell()];
    let (mut low, mut high) = ([f32::MAX; 2], [f32::MIN; 2]);
    for point in strokes.iter().flatten() {
        for k in 0..2 {
            low[k] = low[k].min(point[k]);
            high[k] = high[k].max(point[k]);
        }
    }
    let extent = (high[0] - low[0]).max(high[1] - low[1]).max(1e-3);
    let largest = radius * (1.0 + pressure[0].abs() + pressure[1].abs());
    let margin = largest + SOFT;
    let scale = (BOX - 2.0 * margin) / extent;
    let mut pieces = Vec::new();
    for stroke in strokes {
        let place = |p: Point| [0, 1].map(|k| (p[k] - low[k]) * scale + margin);
        let radius_at = |i: usize| {
            let t = i as f32 / stroke.len() as f32 * 2.0 - 1.0;
            radius * (1.0 + pressure[0] * t + pressure[1] * (2.0 * t * t - 1.0))
        };
        pieces.extend(stroke.windows(2).enumerate().map(|(i, ends)| Piece {
            ends: [place(ends[0]), place(ends[1])],
            radii: [radius_at(i), radius_at(i + 1)],
        }));
    }
    pieces
}

/// Paints the pieces at the top left of a frame, with a linear ramp across the soft edge.
fn paint(pieces: &[Piece]) -> [u8; SIDE * SIDE] {
    let mut ink = [0.0_f32; SIDE * SIDE];
    for Piece { ends: [a, b], radii } in pieces {
        let reach = radii[0].max(radii[1]) + SOFT;
        let span = |k: usize| {
            let first = (a[k].min(b[k]) - reach).max(0.0) as usize;
            first..((a[k].max(b[k]) + reach) as usize + 1).min(SIDE)
        };
        let along = [b[0] - a[0], b[1] - a[1]];
        let length = (along[0] * along[0] + along[1] * along[1]).max(1e-12);
        for y in span(1) {
            for x in span(0) {
                let from = [x as f32 + 0.5 - a[0], y as f32 + 0.5 - a[1]];
                let t = ((from[0] * along[0] + from[1] * along[1]) / length).clamp(0.0, 1.0);
                let off = [from[0] - t * along[0], from[1] - t * along[1]];
                let distance = (off[0] * off[0] + off[1] * off[1]).sqrt();
                let radius = radii[0] + t * (radii[1] - radii[0]);
                let cover = ((radius - distance) / (2.0 * SOFT) + 0.5).clamp(0.0, 1.0);
                let pixel = &mut ink[y * SIDE + x];
                *pixel = pixel.max(cover);
            }
        }
    }
    ink.map(|cover| (cover * 255.0 + 0.5) as u8)
}

/// Moves the ink by whole pixels so that its centre of mass is in the middle of the frame, or as
/// near as the frame allows.
fn centre(pixels: &[u8; SIDE * SIDE]) -> [u8; SIDE * SIDE] {
    let (mut mass, mut moment, mut far) = (0.0_f32, [0.0_f32; 2], [0_usize; 2]);
    for (i, &value) in pixels.iter().enumerate().filter(|(_, value)| **value > 0) {
        let at = [i % SIDE, i / SIDE];
        mass += f32::from(value);
        for k in 0..2 {
            moment[k] += f32::from(value) * (at[k] as f32 + 0.5);
            far[k] = far[k].max(at[k]);
        }
    }
    let middle = SIDE as f32 / 2.0;
    // Casts saturate, so ink heavy at its far side stays where it is.
    let shift = [0, 1].map(|k| {
        let wanted = (middle - moment[k] / mass.max(1.0) + 0.5) as usize;
        wanted.min(SIDE - 1 - far[k])
    });
    let mut centred = [0; SIDE * SIDE];
    for (i, &value) in pixels.iter().enumerate().filter(|(_, value)| **value > 0) {
        centred[(i / SIDE + shift[1]) * SIDE + i % SIDE + shift[0]] = value;
    }
    centred
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(pixels: &[u8], keep: impl Fn(usize, usize) -> bool) -> u32 {
        let kept = (0..SIDE * SIDE).filter(|i| keep(i % SIDE, i / SIDE));
        kept.map(|i| u32::from(pixels[i])).sum()
    }

    #[test]
    fn drawings_follow_the_mnist_frame() {
        for index in 0..500 {
            let (pixels, label) = draw(3, index);
            assert_eq!(u64::from(label), index % 10);
            let inked = |i: &usize| pixels[*i] > 0;
            let columns: Vec<_> = (0..784).filter(inked).map(|i| i % SIDE).collect();
            let rows: Vec<_> = (0..784).filter(inked).map(|i| i / SIDE).collect();
            let extent = |v: &[usize]| v.iter().max().unwrap() - v.iter().min().unwrap() + 1;
            let longer = extent(&columns).max(extent(&rows));
            assert!((17..=20).contains(&longer), "{index}: {longer}");
            let mass = at(&pixels, |_, _| true) as f32;
            let left = at(&pixels, |x, _| x < 14) as f32 / mass;
            assert!((0.2..0.8).contains(&left), "{index}: {left}");
            let bright = pixels.iter().filter(|&&p| p > 200).count();
            assert!(bright >= 8, "{index}: only {bright} bright pixels");
            let share = mass / 255.0 / 784.0;
            assert!((0.03..0.3).contains(&share), "{index}: {share}");
        }
    }

    #[test]
    fn the_centre_of_mass_is_in_the_middle() {
        for index in 0..200 {
            let (pixels, _) = draw(8, index);
            let mass = at(&pixels, |_, _| true) as f32;
            for axis in 0..2 {
                let weighted = pixels.iter().enumerate().map(|(i, &p)| {
                    let place = if axis == 0 { i % SIDE } else { i / SIDE };
                    (place as f32 + 0.5) * f32::from(p)
                });
                let middle = weighted.sum::<f32>() / mass;
                assert!((middle - 14.0).abs() <= 1.0, "{index}: {middle}");
            }
        }
    }

    #[test]
    fn a_drawing_depends_on_seed_and_index_only() {
        let pool = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
        let one = pool(1).install(|| dataset(4, 40, 7));
        let four = pool(4).install(|| dataset(4, 40, 7));
        assert_eq!(one, four);
        let (pixels, label) = draw(4, 7 + 13);
        assert_eq!((one.image(13), one.label(13)), (&pixels.map(unit)[..], usize::from(label)));
        assert_ne!(draw(4, 20).0, draw(5, 20).0);
        assert_ne!(draw(4, 20).0, draw(4, 30).0);
        assert_ne!(draw(1, 0).0, draw(0, 1).0);
    }

    #[test]
    fn the_same_pixels_come_out_on_every_machine() {
        let sum = (0..100)
            .flat_map(|i| draw(1, i).0)
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, p| (hash ^ u64::from(p)).wrapping_mul(0x0100_0000_01b3));
        assert_eq!(sum, 14_813_768_894_974_481_249);
    }

    #[test]
    fn every_style_is_whole() {
        for style in STYLES.iter().copied().flatten() {
            for stroke in style.split('/') {
                let words: Vec<_> = stroke.split_whitespace().collect();
                assert!(words.len() >= 4 && words.len().is_multiple_of(2), "{stroke}");
                assert!(words.iter().all(|word| word.parse::<i8>().is_ok()), "{stroke}");
            }
        }
    }
}
