use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

use super::*;

fn photograph(camera: Camera, shape: Shape, image: &[f32], seed: u64) -> Vec<f32> {
    let (mut picture, mut buffer) = (vec![f32::NAN; image.len()], vec![f32::NAN; camera.buffer_len(shape)]);
    camera.apply(shape, image, seed, &mut picture, &mut buffer).unwrap();
    picture
}

fn bits(image: &[f32]) -> Vec<u32> {
    image.iter().map(|x| x.to_bits()).collect()
}

/// Something in every pixel, different in every row, column and channel.
fn ramp(shape: Shape) -> Vec<f32> {
    (0..shape.len()).map(|i| (i * 37 % 101) as f32 / 100.0).collect()
}

#[test]
fn nothing_changes_nothing() {
    let shape = Shape::hwc(3, 4, 2);
    let mut image = ramp(shape);
    (image[0], image[1], image[2]) = (-0.0, f32::from_bits(1), 1.0);
    assert_eq!(bits(&photograph(Camera::NONE, shape, &image, 1)), bits(&image));
    assert_eq!(Camera::default(), Camera::NONE);
}

#[test]
fn a_shift_by_whole_pixels_copies_and_repeats_the_border() {
    let image = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6];
    let by = |down, right| Camera { down, right, ..Camera::NONE };
    assert_eq!(photograph(by(1.0, 1.0), Shape::hwc(3, 2, 1), &image, 1), [0.1, 0.1, 0.1, 0.1, 0.3, 0.3]);
    assert_eq!(photograph(by(1.0, 1.0), Shape::hwc(1, 3, 2), &image, 1), [0.1, 0.2, 0.1, 0.2, 0.3, 0.4]);
    assert_eq!(photograph(by(-1.0, 0.0), Shape::hwc(3, 2, 1), &image, 1), [0.3, 0.4, 0.5, 0.6, 0.5, 0.6]);
    assert_eq!(photograph(by(0.0, -1.0), Shape::hwc(3, 2, 1), &image, 1), [0.2, 0.2, 0.4, 0.4, 0.6, 0.6]);
    assert_eq!(photograph(by(16384.0, 0.0), Shape::hwc(3, 2, 1), &image, 1), [0.1, 0.2, 0.1, 0.2, 0.1, 0.2]);
    assert_eq!(photograph(by(0.0, 0.25), Shape::hwc(1, 3, 1), &[0.0, 1.0, 0.0], 1), [0.0, 0.75, 0.25]);
}

#[test]
fn a_turn_is_counter_clockwise_about_the_centre() {
    let shape = Shape::hwc(2, 2, 1);
    let turned = |rotation, image: &[f32]| photograph(Camera { rotation, ..Camera::NONE }, shape, image, 1);
    for (degrees, expected) in
        [(90.0, [0.2, 0.4, 0.1, 0.3]), (-90.0, [0.3, 0.1, 0.4, 0.2]), (180.0, [0.4, 0.3, 0.2, 0.1])]
    {
        let found = turned(degrees, &[0.1, 0.2, 0.3, 0.4]);
        let close = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(close, "{degrees}: {found:?}");
    }
    let image = ramp(Shape::hwc(7, 5, 2));
    let camera = Camera { rotation: -0.0, ..Camera::NONE };
    assert_eq!(photograph(camera, Shape::hwc(7, 5, 2), &image, 1), image);
    // Nothing is stretched: a turn keeps a constant image, whatever the angle.
    let constant = [0.3; 4];
    assert_eq!(turned(17.0, &constant), constant);
}

#[test]
fn a_blur_spreads_a_point_and_keeps_its_light() {
    let shape = Shape::hwc(15, 15, 2);
    let at = |y: usize, x: usize| 2 * (y * 15 + x);
    let mut image = vec![0.0; shape.len()];
    image[at(7, 7)] = 1.0;
    let blurred = photograph(Camera { blur: 1.0, ..Camera::NONE }, shape, &image, 1);
    let light: f32 = blurred.iter().sum();
    assert!((light - 1.0).abs() < 1e-6, "{light}");
    for (y, x) in [(6, 7), (8, 7), (7, 6), (7, 8)] {
        assert_eq!(blurred[at(y, x)], blurred[at(7, 6)]);
    }
    // The other channel stays dark, and so does what is out of reach.
    assert!(blurred.iter().skip(1).step_by(2).all(|x| *x == 0.0));
    assert_eq!((blurred[at(7, 3)], blurred[at(3, 7)]), (0.0, 0.0));
}

#[test]
fn a_blur_of_nothing_and_of_a_constant_changes_nothing() {
    let shape = Shape::hwc(6, 9, 3);
    for blur in [0.0, 1e-45, 1e-30, 1e-3, 0.16] {
        let image = ramp(shape);
        assert_eq!(bits(&photograph(Camera { blur, ..Camera::NONE }, shape, &image, 1)), bits(&image), "{blur}");
    }
    for blur in [0.17, 0.5, 2.0, 100.0] {
        let image = vec![0.3; shape.len()];
        assert_eq!(photograph(Camera { blur, ..Camera::NONE }, shape, &image, 1), image, "{blur}");
    }
}

#[test]
fn tones_and_steps() {
    let shape = Shape::hwc(1, 4, 1);
    let image = [0.0, 0.25, 0.5, 1.0];
    let brighter = photograph(Camera { brightness: 0.25, ..Camera::NONE }, shape, &image, 1);
    assert_eq!(brighter, [0.25, 0.5, 0.75, 1.0]);
    let darker = photograph(Camera { brightness: -0.5, ..Camera::NONE }, shape, &image, 1);
    assert_eq!(darker, [0.0, 0.0, 0.0, 0.5]);
    let rounded = photograph(Camera { eight_bit: true, ..Camera::NONE }, shape, &image, 1);
    assert_eq!(rounded, [0.0, 64.0 / 255.0, 128.0 / 255.0, 1.0]);
    for gamma in [0.1, 0.45, 2.2, 10.0] {
        let curve = photograph(Camera { gamma, ..Camera::NONE }, shape, &image, 1);
        assert_eq!((curve[0], curve[3]), (0.0, 1.0), "black and white stay");
        let exact = image.map(|x| f64::from(x).powf(f64::from(gamma)));
        assert!(curve.iter().zip(exact).all(|(a, b)| (f64::from(*a) - b).abs() < 2e-3), "{gamma}: {curve:?}");
    }
}

#[test]
fn noise_is_normal_and_follows_its_seed() {
    let shape = Shape::hwc(500, 1000, 1);
    let image = vec![0.5; shape.len()];
    let camera = Camera { noise: 0.05, ..Camera::NONE };
    let noisy = photograph(camera, shape, &image, 1);
    let draws: Vec<f64> = noisy.iter().map(|x| (f64::from(*x) - 0.5) / 0.05).collect();
    let mean = |f: &dyn Fn(f64) -> f64| draws.iter().map(|d| f(*d)).sum::<f64>() / draws.len() as f64;
    // Four standard errors of half a million draws, and what the approximations cost the variance: 0.001.
    assert!(mean(&|d| d).abs() < 0.006, "mean {}", mean(&|d| d));
    assert!((mean(&|d| d * d) - 1.0).abs() < 0.009, "variance {}", mean(&|d| d * d));
    assert!(mean(&|d| d.powi(3)).abs() < 0.022, "skewness {}", mean(&|d| d.powi(3)));
    assert!((mean(&|d| d.powi(4)) - 3.0).abs() < 0.06, "kurtosis {}", mean(&|d| d.powi(4)));
    for (beyond, expected) in [(1.0, 0.3173), (2.0, 0.0455), (3.0, 0.0027)] {
        let share = mean(&|d| f64::from(d.abs() > beyond));
        assert!((share - expected).abs() < 0.003, "{share} of the draws are beyond {beyond}");
    }
    assert_eq!(bits(&noisy), bits(&photograph(camera, shape, &image, 1)));
    assert_ne!(bits(&noisy), bits(&photograph(camera, shape, &image, 2)));
}

#[test]
fn no_uniform_number_makes_noise_that_is_not_finite() {
    for i in 1..=1u32 << 24 {
        let x = i as f32 / (1 << 24) as f32;
        let found = negative_ln(x);
        assert!((0.0..16.7).contains(&found), "{x}: {found}");
    }
}

/// The order of the changes is a promise, and so are the bits, on every processor and with every compiler.
#[test]
fn bits_are_pinned() {
    let camera = Camera {
        gamma: 1.4,
        rotation: 5.0,
        down: 0.5,
        right: -1.0,
        blur: 0.7,
        brightness: 0.05,
        noise: 0.05,
        eight_bit: false,
    };
    let shape = Shape::hwc(28, 28, 1);
    let checksum = |camera: Camera| {
        let picture = photograph(camera, shape, &ramp(shape), 7);
        let bytes: Vec<u8> = picture.iter().flat_map(|x| x.to_bits().to_le_bytes()).collect();
        crate::checksum("", &bytes)
    };
    let none = Camera::NONE;
    let found = [
        camera,
        Camera { eight_bit: true, ..camera },
        Camera { gamma: camera.gamma, ..none },
        Camera { rotation: camera.rotation, ..none },
        Camera { blur: camera.blur, ..none },
        Camera { noise: camera.noise, ..none },
    ]
    .map(checksum);
    assert_eq!(found, [0x19fc_1015, 0x764f_3ac8, 0xa246_852d, 0xe164_c6f1, 0x09bc_b091, 0x9c0b_ff54]);
}

#[test]
fn what_is_wrong_is_named() {
    let shape = Shape::hwc(2, 2, 1);
    let apply = |shape, image: &[f32], picture: &mut [f32], buffer: &mut [f32]| {
        Camera { blur: 1.0, ..Camera::NONE }.apply(shape, image, 1, picture, buffer)
    };
    assert_eq!(apply(shape, &[0.5; 4], &mut [0.0; 4], &mut [0.0; 7]), Ok(()));
    for (result, what, expected, found) in [
        (apply(shape, &[0.5; 3], &mut [0.0; 4], &mut [0.0; 7]), "image", 4, 3),
        (apply(shape, &[0.5; 4], &mut [0.0; 5], &mut [0.0; 7]), "picture", 4, 5),
        (apply(shape, &[0.5; 4], &mut [0.0; 4], &mut [0.0; 6]), "buffer", 7, 6),
        (apply(Shape::hwc(usize::MAX, 2, 1), &[0.5; 4], &mut [0.0; 4], &mut []), "image", usize::MAX, 4),
    ] {
        assert_eq!(result, Err(Error::Length { what, expected, found }));
    }
    let bright = apply(shape, &[0.5, 0.5, 1.1, 0.5], &mut [0.0; 4], &mut [0.0; 7]);
    assert_eq!(bright, Err(Error::Pixel { index: 2, value: 1.1 }));
    let error = Camera { blur: 1e9, ..Camera::NONE }.check().unwrap_err();
    assert_eq!(std::format!("{error}"), "blur is 1000000000: expected a number from 0 to 100");
    for (height, width, channels) in [(0, 3, 1), (0, usize::MAX, 2), (usize::MAX, usize::MAX, 0)] {
        let camera = Camera { blur: 1.0, rotation: 1.0, ..Camera::NONE };
        assert!(photograph(camera, Shape::hwc(height, width, channels), &[], 1).is_empty());
    }
}

/// Numbers that a caller would and would not give.
fn option() -> impl Strategy<Value = f32> {
    prop_oneof![
        -1.0f32..1.0,
        -200.0f32..200.0,
        any::<f32>(),
        proptest::sample::select(vec![0.0, -0.0, 1.0, 1e-45, 1e-30, f32::NAN, f32::INFINITY, f32::NEG_INFINITY]),
    ]
}

fn camera() -> impl Strategy<Value = Camera> {
    let numbers = (option(), option(), option(), option(), option(), option(), option());
    (numbers, any::<bool>()).prop_map(|((gamma, rotation, down, right, blur, brightness, noise), eight_bit)| Camera {
        gamma,
        rotation,
        down,
        right,
        blur,
        brightness,
        noise,
        eight_bit,
    })
}

/// The same with every option drawn into its range.
fn tame(camera: Camera) -> Camera {
    let within = |x: f32, low: f32, high: f32| if x.is_finite() { x.clamp(low, high) } else { low };
    Camera {
        gamma: within(camera.gamma, 0.1, 10.0),
        rotation: within(camera.rotation, -180.0, 180.0),
        down: within(camera.down, -16384.0, 16384.0),
        right: within(camera.right, -16384.0, 16384.0),
        blur: within(camera.blur, 0.0, 100.0),
        brightness: within(camera.brightness, -100.0, 100.0),
        noise: within(camera.noise, 0.0, 100.0),
        eight_bit: camera.eight_bit,
    }
}

proptest! {
    #[test]
    fn any_camera_gives_pixels_or_an_error(
        camera in camera(),
        (height, width, channels) in (0usize..7, 0usize..7, 0usize..4),
        pixel in proptest::sample::select(vec![0.0, -0.0, 1e-45, 1e-38, 0.5, 1.0]),
        seed in any::<u64>(),
    ) {
        let shape = Shape::hwc(height, width, channels);
        let mut image = ramp(shape);
        image.iter_mut().step_by(2).for_each(|x| *x = pixel);
        let (mut picture, mut buffer) = (vec![f32::NAN; image.len()], vec![f32::NAN; shape.len() + 300]);
        if let Err(error) = camera.apply(shape, &image, seed, &mut picture, &mut buffer) {
            prop_assert!(matches!(error, Error::Range { .. }), "{error}");
        }
        let picture = photograph(tame(camera), shape, &image, seed);
        prop_assert!(picture.iter().all(|x| (0.0..=1.0).contains(x)), "{picture:?}");
    }
}
