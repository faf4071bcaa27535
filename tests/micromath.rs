//! What the approximations of micromath cost a camera, beside float64, and why the loss does not use them.

use midge_core::Shape;
use midge_core::camera::Camera;

fn photograph(camera: Camera, shape: Shape, image: &[f32]) -> Vec<f64> {
    let (mut picture, mut buffer) = (vec![0.0; image.len()], vec![0.0; camera.buffer_len(shape)]);
    camera.apply(shape, image, 1, &mut picture, &mut buffer).unwrap();
    picture.into_iter().map(f64::from).collect()
}

/// A tone curve is an exponential of a logarithm.
#[test]
fn a_tone_curve_is_good_to_half_a_grey_level() {
    let image: Vec<f32> = (0..=10_000).map(|i| i as f32 / 1e4).collect();
    let (mut worst, mut relative) = (0.0f64, 0.0f64);
    for gamma in [0.1, 0.25, 0.45, 0.9, 1.1, 2.2, 4.0, 10.0] {
        let curve = photograph(Camera { gamma, ..Camera::NONE }, Shape::hwc(1, image.len(), 1), &image);
        for (found, x) in curve.iter().zip(&image) {
            let error = (found - f64::from(*x).powf(f64::from(gamma))).abs();
            worst = worst.max(error);
            relative = relative.max(error / found.max(1e-3));
        }
    }
    println!("largest error of a tone {worst:.1e}, of its own size {relative:.1e}");
    assert!(worst < 0.5 / 255.0, "{worst}");
    // The gradient is to be within 1e-5 of its largest value, and follows from probabilities.
    assert!(relative > 1e-5, "micromath's exponential is accurate now: use it for the loss");
}

#[test]
fn a_blur_is_gaussian() {
    const N: usize = 61;
    let mut image = vec![0.0; N];
    image[N / 2] = 1.0;
    for blur in [0.3f32, 0.5, 1.0, 2.5, 9.0] {
        let spread = photograph(Camera { blur, ..Camera::NONE }, Shape::hwc(1, N, 1), &image);
        let radius = f64::from(3.0 * blur).ceil();
        let density = |i: usize| {
            let d = i as f64 - (N / 2) as f64;
            if d.abs() <= radius { (-0.5 * (d / f64::from(blur)).powi(2)).exp() } else { 0.0 }
        };
        let total: f64 = (0..N).map(density).sum();
        for (i, found) in spread.iter().enumerate() {
            assert!((found - density(i) / total).abs() < 2e-3, "blur {blur}: {found} at {i}");
        }
    }
}

/// On an image whose grey grows evenly, bilinear interpolation is exact: what is left is the angle's error.
#[test]
fn a_turn_is_good_to_a_fifth_of_a_degree() {
    const N: usize = 41;
    const CENTRE: usize = N / 2;
    let image: Vec<f32> = (0..N * N).map(|i| (i % N) as f32 / (N - 1) as f32).collect();
    let mut worst = 0.0f64;
    for tenths in -1800i16..=1800 {
        let camera = Camera { rotation: f32::from(tenths) / 10.0, ..Camera::NONE };
        let turned = photograph(camera, Shape::hwc(N, N, 1), &image);
        // How the grey changes to the right and downwards, in pixels of the image.
        let slope =
            |offset: usize| (turned[CENTRE * N + CENTRE + offset] - turned[CENTRE * N + CENTRE]) * (N - 1) as f64;
        let (cos, minus_sin) = (slope(1), slope(N));
        let error = (-minus_sin).atan2(cos).to_degrees() - f64::from(tenths) / 10.0;
        worst = worst.max((error + 180.0).rem_euclid(360.0) - 180.0).max(180.0 - (error + 180.0).rem_euclid(360.0));
        assert!((cos.hypot(minus_sin) - 1.0).abs() < 1e-4, "{tenths}: the image is stretched");
    }
    println!("largest error of an angle {worst:.2} degrees");
    assert!(worst < 0.2, "{worst}");
}
