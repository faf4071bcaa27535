//! Why the loss does not use micromath's exponential: what it would do to the probabilities of real logits.

use micromath::F32Ext;

#[test]
fn micromath_exp_moves_probabilities() {
    let softmax = |exp: fn(f32) -> f32, logits: [f32; 4]| {
        let powers = logits.map(exp);
        let sum: f32 = powers.iter().sum();
        powers.map(|p| p / sum)
    };
    let (mut micro, mut accurate) = (0.0f32, 0.0f64);
    for i in 0..2000 {
        let logits = [0.0, -0.001 * i as f32, -0.003 * i as f32, -0.007 * i as f32];
        let exact = logits.map(|x| f64::from(x).exp());
        let sum: f64 = exact.iter().sum();
        let approximate = softmax(F32Ext::exp, logits);
        let libm = softmax(libm::expf, logits);
        for k in 0..4 {
            let expected = exact[k] / sum;
            micro = micro.max(((f64::from(approximate[k]) - expected) / expected).abs() as f32);
            accurate = accurate.max(((f64::from(libm[k]) - expected) / expected).abs());
        }
    }
    println!("largest relative error of a probability: micromath {micro:.1e}, libm {accurate:.1e}");
    assert!(accurate < 1e-6);
    // The gradient is to be within 1e-5 of its largest value; micromath alone would exceed that.
    assert!(micro > 1e-5, "micromath is accurate now: use it");
}
