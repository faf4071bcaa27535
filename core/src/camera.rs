//! What a display, the way to a camera and its sensor do to an image. An adversarial image that survives them fools a
//! model in the world, not only in a file.
//!
//! ```text
//! display: gamma -> way: rotation, shift -> lens: blur -> sensor: brightness, noise, 8 bits
//! ```
//! Blur, noise and brightness are among the transformations of Kurakin, Goodfellow, Bengio: Adversarial Examples in the
//! Physical World, ICLR workshop 2017.
//!
//! Every processor computes the same bits. The arithmetic is +, -, * and / of f32 in a fixed order, a square root that is
//! rounded correctly, and the exponential, logarithm, sine and cosine of crate `micromath`, which are made of the former.
//! No platform's mathematical library takes part, and no fused multiply-add. Those functions are good to about 0.002:
//! enough for a camera, too little for a loss.
//!
//! ```
//! use midge_core::{Shape, camera::Camera};
//!
//! const SHAPE: Shape = Shape::hwc(2, 3, 1);
//! const CAMERA: Camera = Camera { down: 1.0, brightness: 0.25, ..Camera::NONE };
//!
//! let image = [0.0, 0.25, 0.5, 1.0, 1.0, 1.0];
//! let (mut picture, mut buffer) = ([0.0; SHAPE.len()], [0.0; CAMERA.buffer_len(SHAPE)]);
//! CAMERA.apply(SHAPE, &image, 1, &mut picture, &mut buffer)?;
//! // The first row is repeated where the image left the frame.
//! assert_eq!(picture, [0.25, 0.5, 0.75, 0.25, 0.5, 0.75]);
//! # Ok::<(), midge_core::Error>(())
//! ```

use core::f32::consts::{PI, TAU};

use micromath::F32;
use rand_xoshiro::Xoshiro128PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use crate::error::{Error, check_buffer, check_len, check_pixels};
use crate::network::Shape;
use crate::span::{span, span_mut, split_mut};

/// The largest [`Camera::blur`], in pixels.
const MAX_BLUR: f32 = 100.0;
/// A kernel ends after this many standard deviations.
const RADIUS: f32 = 3.0;

/// The changes, in the order in which they happen. The border is repeated outwards wherever something from outside the
/// image would be seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Camera {
    /// Exponent of the display's tone curve, `x^gamma`: 0.1 to 10. Above 1 grey gets darker.
    pub gamma: f32,
    /// Degrees by which the image turns about its centre, counter-clockwise: -180 to 180. Good to 0.2 degrees.
    pub rotation: f32,
    /// Pixels by which the image moves down: -16384 to 16384. A part of a pixel is interpolated bilinearly.
    pub down: f32,
    /// Pixels by which the image moves to the right: -16384 to 16384.
    pub right: f32,
    /// Standard deviation of a Gaussian blur, in pixels: 0 to 100.
    pub blur: f32,
    /// What is added to every pixel, in units of [0, 1]: -100 to 100.
    pub brightness: f32,
    /// Standard deviation of Gaussian noise, in units of [0, 1]: 0 to 100.
    pub noise: f32,
    /// Whether pixels are rounded to multiples of 1/255.
    pub eight_bit: bool,
}

impl Default for Camera {
    fn default() -> Self {
        Self::NONE
    }
}

impl Camera {
    /// Returns the image bit for bit.
    pub const NONE: Self = Self {
        gamma: 1.0,
        rotation: 0.0,
        down: 0.0,
        right: 0.0,
        blur: 0.0,
        brightness: 0.0,
        noise: 0.0,
        eight_bit: false,
    };

    /// Elements of the buffer for images of this shape.
    pub const fn buffer_len(&self, shape: Shape) -> usize {
        len(shape).saturating_add(self.radius())
    }

    /// Whether every option is in its range.
    ///
    /// ```
    /// use midge_core::camera::Camera;
    ///
    /// assert!(Camera { blur: 1.0, eight_bit: true, ..Camera::NONE }.check().is_ok());
    /// let error = Camera { gamma: 0.0, ..Camera::NONE }.check().unwrap_err();
    /// assert_eq!(error.to_string(), "gamma is 0: expected a number from 0.1 to 10");
    /// ```
    ///
    /// # Errors
    /// [`Error::Range`], which names the option.
    pub fn check(&self) -> Result<(), Error> {
        const PIXELS: &[f32; 2] = &[-16384.0, 16384.0];
        let options: [(&str, f32, &[f32; 2]); 7] = [
            ("gamma", self.gamma, &[0.1, 10.0]),
            ("rotation", self.rotation, &[-180.0, 180.0]),
            ("shift", self.down, PIXELS),
            ("shift", self.right, PIXELS),
            ("blur", self.blur, &[0.0, MAX_BLUR]),
            ("brightness", self.brightness, &[-100.0, 100.0]),
            ("noise", self.noise, &[0.0, 100.0]),
        ];
        for (what, value, range) in options {
            if !(range[0] <= value && value <= range[1]) {
                return Err(Error::Range { what, value, range });
            }
        }
        Ok(())
    }

    /// Writes what the camera makes of `image` to `picture`, both `[row][column][channel]` in [0, 1]. The noise follows
    /// from `seed` alone: give every image a seed of its own. The buffer has [`Self::buffer_len`] elements.
    ///
    /// # Errors
    /// An option out of range, a slice of the wrong length, a pixel outside [0, 1].
    pub fn apply(
        &self,
        shape: Shape,
        image: &[f32],
        seed: u64,
        picture: &mut [f32],
        buffer: &mut [f32],
    ) -> Result<(), Error> {
        self.check()?;
        check_len("image", len(shape), image.len())?;
        check_len("picture", image.len(), picture.len())?;
        check_buffer(self.buffer_len(shape), buffer.len())?;
        check_pixels(image, [0.0, 1.0])?;
        // From here on no product of two sides overflows: it divides the length of a slice, which is not 0.
        if image.is_empty() {
            return Ok(());
        }
        copy(image, picture);
        self.display(picture);
        let (taps, rest) = split_mut(buffer, self.radius());
        let scratch = span_mut(rest, 0, image.len());
        self.way(shape, picture, scratch);
        self.lens(shape, picture, scratch, taps);
        self.sensor(seed, picture);
        Ok(())
    }

    fn display(&self, picture: &mut [f32]) {
        if self.gamma != 1.0 {
            picture.iter_mut().for_each(|x| *x = clamp(power(*x, self.gamma)));
        }
    }

    fn way(&self, shape: Shape, picture: &mut [f32], scratch: &mut [f32]) {
        if self.rotation != 0.0 || self.down != 0.0 || self.right != 0.0 {
            copy(picture, scratch);
            self.resample(shape, scratch, picture);
        }
    }

    /// Looks up for each pixel where in `source` it comes from.
    fn resample(&self, Shape { height, width, channels }: Shape, source: &[f32], target: &mut [f32]) {
        let (cos, sin) = direction(self.rotation);
        let (centre_y, centre_x) = (middle(height), middle(width));
        let row_len = width * channels;
        for (y, row) in target.chunks_exact_mut(row_len.max(1)).enumerate() {
            let dy = y as f32 - centre_y - self.down;
            for (x, pixel) in row.chunks_exact_mut(channels.max(1)).enumerate() {
                let dx = x as f32 - centre_x - self.right;
                let ([top, bottom], from_top) = neighbours(centre_y + (cos * dy + sin * dx), height);
                let ([left, right], from_left) = neighbours(centre_x + (cos * dx - sin * dy), width);
                let at = |y: usize, x: usize| span(source, y * row_len + x * channels, channels);
                let upper = at(top, left).iter().zip(at(top, right));
                let lower = at(bottom, left).iter().zip(at(bottom, right));
                for ((value, upper), lower) in pixel.iter_mut().zip(upper).zip(lower) {
                    let upper = mix(*upper.0, *upper.1, from_left);
                    let lower = mix(*lower.0, *lower.1, from_left);
                    *value = clamp(mix(upper, lower, from_top));
                }
            }
        }
    }

    fn lens(&self, shape: Shape, picture: &mut [f32], scratch: &mut [f32], taps: &mut [f32]) {
        if self.blur > 0.0 {
            gaussian_taps(self.blur, taps);
            blur_lines(picture, scratch, (shape.width, shape.channels), taps);
            blur_lines(scratch, picture, (shape.height, shape.width * shape.channels), taps);
        }
    }

    fn sensor(&self, seed: u64, picture: &mut [f32]) {
        if self.brightness != 0.0 {
            picture.iter_mut().for_each(|x| *x = clamp(*x + self.brightness));
        }
        if self.noise > 0.0 {
            let mut random = Xoshiro128PlusPlus::seed_from_u64(seed);
            picture.iter_mut().for_each(|x| *x = clamp(*x + self.noise * gaussian(&mut random)));
        }
        if self.eight_bit {
            picture.iter_mut().for_each(|x| *x = f32::from((*x * 255.0 + 0.5) as u8) / 255.0);
        }
    }

    /// Elements of a kernel of the blur on each side of its centre.
    const fn radius(&self) -> usize {
        let exact = RADIUS * self.blur;
        let whole = exact as usize;
        if exact > whole as f32 { whole.saturating_add(1) } else { whole }
    }
}

/// Elements of an image. No slice is as long as what overflows.
const fn len(shape: Shape) -> usize {
    shape.height.saturating_mul(shape.width).saturating_mul(shape.channels)
}

fn copy(from: &[f32], to: &mut [f32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
}

/// The nearest value in [0, 1].
#[expect(clippy::manual_clamp, reason = "f32::clamp would be calls on a device")]
fn clamp(x: f32) -> f32 {
    if x < 0.0 {
        0.0
    } else if x > 1.0 {
        1.0
    } else {
        x
    }
}

/// `a` for 0, `b` for 1.
fn mix(a: f32, b: f32, part: f32) -> f32 {
    a + part * (b - a)
}

/// Position of the middle of `n` pixels.
fn middle(n: usize) -> f32 {
    0.5 * n.saturating_sub(1) as f32
}

/// The two of `n` pixels around a position, and how far it is from the first to the second.
fn neighbours(position: f32, n: usize) -> ([usize; 2], f32) {
    let last = n.saturating_sub(1);
    let position = if position < 0.0 { 0.0 } else { position };
    let position = if position > last as f32 { last as f32 } else { position };
    let first = position as usize;
    ([first, (first + 1).min(last)], position - first as f32)
}

/// Cosine and sine of degrees, of length 1.
fn direction(degrees: f32) -> (f32, f32) {
    let angle = F32(degrees * (PI / 180.0));
    // `F32` is named: on `f32` itself the methods of std, where it is there, would go first.
    let (cos, sin) = (angle.cos().0, angle.sin().0);
    let length = libm::sqrtf(cos * cos + sin * sin);
    (cos / length, sin / length)
}

/// `x` in [0, 1] to a positive power.
fn power(x: f32, exponent: f32) -> f32 {
    // Smaller ones have no finite reciprocal.
    if x < f32::MIN_POSITIVE { 0.0 } else { F32(-exponent * negative_ln(x)).exp().0 }
}

/// `-ln(x)` of `x` in (0, 1]. The logarithm of `micromath` is good from 1 on; below, it is off by up to 0.12.
fn negative_ln(x: f32) -> f32 {
    F32(1.0 / x).ln().0
}

/// One side of a Gaussian kernel, whose other side is the same and whose sum with the centre is 1.
fn gaussian_taps(sigma: f32, taps: &mut [f32]) {
    let mut total = 1.0;
    for (distance, tap) in (1u16..).zip(taps.iter_mut()) {
        // Divided first: the square of a tiny sigma is 0.
        let x = f32::from(distance) / sigma;
        *tap = if x > 2.0 * RADIUS { 0.0 } else { F32(-0.5 * x * x).exp().0 };
        total += 2.0 * *tap;
    }
    taps.iter_mut().for_each(|tap| *tap /= total);
}

/// Blurs lines of `n` positions of `inner` elements each along the positions.
fn blur_lines(source: &[f32], target: &mut [f32], (n, inner): (usize, usize), taps: &[f32]) {
    let line_len = (n * inner).max(1);
    for (source, target) in source.chunks_exact(line_len).zip(target.chunks_exact_mut(line_len)) {
        for (i, target) in target.chunks_exact_mut(inner.max(1)).enumerate() {
            let centre = span(source, i * inner, inner);
            copy(centre, target);
            for (distance, tap) in (1usize..).zip(taps) {
                let before = span(source, i.saturating_sub(distance) * inner, inner);
                let after = span(source, (i + distance).min(n.saturating_sub(1)) * inner, inner);
                for (((x, centre), before), after) in target.iter_mut().zip(centre).zip(before).zip(after) {
                    // Differences from the centre: a constant image stays as it is to the bit.
                    *x += tap * ((before - centre) + (after - centre));
                }
            }
            target.iter_mut().for_each(|x| *x = clamp(*x));
        }
    }
}

/// A normally distributed number (Box and Muller 1958).
fn gaussian(random: &mut Xoshiro128PlusPlus) -> f32 {
    const STEPS: f32 = (1 << 24) as f32;
    let mut uniform = || random.next_u32() >> 8;
    // From (0, 1]: 0 has no logarithm.
    let a = (uniform() + 1) as f32 / STEPS;
    let b = uniform() as f32 / STEPS;
    libm::sqrtf(2.0 * negative_ln(a)) * F32(TAU * b).cos().0
}

#[cfg(test)]
mod tests;
