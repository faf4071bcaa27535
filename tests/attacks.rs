//! What every attack promises, on random networks, images and options: the bound, the range, identity at eps 0, a loss
//! that moves the right way, and errors instead of panics.

use midge_core::attack::{
    AnyAttack, Apgd, Attack, Bim, Fgsm, Goal, MiFgsm, Otcm, Pgd, Square, Target, Targeted, Walk, least_likely,
    perturb_len, start_seed,
};
use midge_core::loss::{Loss, cross_entropy};
use midge_core::{Error, Model, Network};
use midge_trainer::training::initialise;
use midge_trainer::weights::Weights;
use proptest::prelude::*;

/// Random networks of all kinds, their sizes odd and even.
fn network() -> impl Strategy<Value = Network> {
    let padding = prop_oneof![Just("same"), Just("valid")];
    let relu = prop_oneof![Just("relu"), Just("shifted_relu(hundredths=5)"), Just("relu6")];
    let window = (1..5usize, 1..5usize, 1..3usize, 1..3usize, padding.clone(), any::<bool>())
        .prop_map(|(h, w, down, right, p, b)| format!("kernel={h}x{w},stride={down}x{right},padding={p},bias={b}"));
    let conv = (1..9usize, window.clone(), relu.clone()).prop_map(|(f, w, r)| format!("conv2d(filters={f},{w}) {r}"));
    let depthwise = (window, relu.clone()).prop_map(|(w, r)| format!("depthwise_conv2d(multiplier=1,{w}) {r}"));
    let pool = (2..4usize, padding.clone()).prop_map(|(pool, p)| format!("maxpool2d(pool={pool},padding={p})"));
    let average = (1..4usize, 1..4usize, padding).prop_map(|(h, w, p)| format!("avgpool2d(pool={h}x{w},padding={p})"));
    // Layers that keep the shape, added to what is before them, through a second branch or not.
    let block = (1..4usize, any::<bool>()).prop_map(|(k, is_branch)| {
        let branch = if is_branch {
            "from(layer=BEFORE) depthwise_conv2d(kernel=1) add(layer=MAIN)"
        } else {
            "add(layer=BEFORE)"
        };
        format!("depthwise_conv2d(kernel={k}) relu {branch} relu")
    });
    let layer = prop_oneof![3 => conv, 1 => depthwise, 1 => pool, 1 => average, 1 => block];
    let dense = prop::collection::vec((1..20usize, relu), 0..3);
    let layers = prop::collection::vec(layer, 0..4);
    (4..12usize, 4..12usize, 1..4usize, layers, dense, 2..6usize).prop_filter_map("does not fit", |parts| {
        let (height, width, channels, layers, dense, classes) = parts;
        // A skip connection cannot start at the image.
        let mut words = vec![format!("input({height},{width},{channels})"), "relu".into()];
        for layers in layers {
            let before = words.len() - 2;
            let named = layers.replace("BEFORE", &before.to_string()).replace("MAIN", &(before + 2).to_string());
            words.extend(named.split(' ').map(String::from));
        }
        words.push("flatten".into());
        words.extend(dense.iter().map(|(units, relu)| format!("dense(units={units}) {relu}")));
        words.push(format!("dense(units={classes})"));
        words.join(" ").parse().ok()
    })
}

/// A network with weights, an image with pixels at both ends of the range, and a label.
fn sample() -> impl Strategy<Value = (Weights, Vec<f32>, usize)> {
    (network(), any::<u64>()).prop_flat_map(|(network, seed)| {
        let pixel = prop_oneof![Just(0.0f32), Just(1.0f32), 0.0f32..=1.0];
        let image = prop::collection::vec(pixel, network.input().len());
        (Just(initialise(network, seed)), image, 0..network.classes())
    })
}

/// Loss at `label`.
fn loss(model: &Model<'_, f32>, image: &[f32], label: usize) -> f32 {
    let mut buffer = vec![0.0; model.network().inference_len()];
    model.loss(image, label, &mut buffer).unwrap()
}

/// Whether the loss at `label` has the same gradient at both images, or nearly so. Where a ReLU or a pooling decides
/// otherwise at one of them, a small step may well move the loss the wrong way.
fn is_smooth(model: &Model<'_, f32>, loss: Loss, label: usize, images: [&[f32]; 2]) -> bool {
    let mut buffer = vec![0.0; model.gradient_len()];
    let [a, b] = images.map(|image| model.loss_gradient(loss, image, label, &mut buffer).unwrap().gradient.to_vec());
    let largest = a.iter().fold(0.0f32, |most, g| most.max(g.abs()));
    a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= 0.1 * largest)
}

fn assert_inside(image: &[f32], adversarial: &[f32], eps: f32) {
    for (clean, x) in image.iter().zip(adversarial) {
        assert!((0.0..=1.0).contains(x), "{x} is not a pixel");
        assert!((x - clean).abs() <= eps + 1e-6, "{x} is more than {eps} away from {clean}");
    }
}

/// An attack on a model, an image and a label, into the adversarial image, with a buffer.
type AttackFn<'a> =
    &'a dyn Fn(&Model<'_, f32>, &[f32], usize, &mut [f32], &mut [f32]) -> Result<midge_core::attack::Outcome, Error>;

fn all_attacks(eps: f32, check: &dyn Fn(AttackFn<'_>)) {
    check(&|m, x, y, out, buffer| Fgsm { eps }.attack(m, x, y, out, buffer));
    check(&|m, x, y, out, buffer| MiFgsm::new(eps).attack(m, x, y, out, buffer));
    check(&|m, x, y, out, buffer| MiFgsm { decay: 0.0, alpha: eps, ..MiFgsm::new(eps) }.attack(m, x, y, out, buffer));
    check(&|m, x, y, out, buffer| Bim::new(eps).attack(m, x, y, out, buffer));
    check(&|m, x, y, out, buffer| short_pgd(eps, 2).attack(m, x, y, out, buffer));
    let apgd = Apgd { steps: 5, ..Apgd::new(eps, 11) };
    let square = Square { queries: 8, loss: Loss::CrossEntropy, ..Square::new(eps, 11) };
    check(&|m, x, y, out, buffer| apgd.attack(m, x, y, out, buffer));
    check(&|m, x, y, out, buffer| square.attack(m, x, y, out, buffer));
    for target in [Target::Next, Target::LeastLikely, Target::Random(3)] {
        check(&|m, x, y, out, buffer| Otcm { eps, target }.attack(m, x, y, out, buffer));
        check(&|m, x, y, out, buffer| Targeted { attack: MiFgsm::new(eps), target }.attack(m, x, y, out, buffer));
        check(&|m, x, y, out, buffer| Targeted { attack: short_pgd(eps, 2), target }.attack(m, x, y, out, buffer));
        check(&|m, x, y, out, buffer| Targeted { attack: apgd, target }.attack(m, x, y, out, buffer));
        check(&|m, x, y, out, buffer| Targeted { attack: square, target }.attack(m, x, y, out, buffer));
    }
}

/// On cross-entropy, whose values the tests compare.
fn short_pgd(eps: f32, restarts: usize) -> Pgd {
    Pgd { restarts, ..Pgd::with_steps(eps, 5, 11) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_adversarial_image_stays_in_the_ball_and_in_range((weights, image, label) in sample(), eps in 0.0f32..0.6) {
        let mut transposed = vec![0.0; weights.transposed_len()];
        let model = weights.model(&mut transposed).unwrap();
        let mut buffer = vec![0.0; Apgd::new(0.0, 0).buffer_len(&model)];
        all_attacks(eps, &|run| {
            let (mut out, mut buffer) = (vec![f32::NAN; image.len()], buffer.clone());
            let outcome = run(&model, &image, label, &mut out, &mut buffer).unwrap();
            assert_inside(&image, &out, eps);
            assert!(outcome.largest_change <= eps + 1e-6);
            let at = outcome.target.unwrap_or(label);
            assert_eq!(outcome.before.loss, loss(&model, &image, at));
            assert_eq!(outcome.after.loss, loss(&model, &out, at));
        });
        buffer.clear();
    }

    #[test]
    fn eps_zero_returns_the_input_bit_for_bit((weights, image, label) in sample()) {
        let mut transposed = vec![0.0; weights.transposed_len()];
        let model = weights.model(&mut transposed).unwrap();
        all_attacks(0.0, &|run| {
            let (mut out, mut buffer) = (vec![f32::NAN; image.len()], vec![0.0; Apgd::new(0.0, 0).buffer_len(&model)]);
            let outcome = run(&model, &image, label, &mut out, &mut buffer).unwrap();
            assert!(image.iter().zip(&out).all(|(a, b)| a.to_bits() == b.to_bits()));
            assert_eq!(outcome.before, outcome.after);
        });
    }

    /// For a small step the loss follows its gradient: up for FGSM, down at the target for OTCM.
    #[test]
    fn a_small_step_moves_the_loss_the_right_way((weights, image, label) in sample()) {
        let (loss, eps) = (Loss::CrossEntropy, 1e-3);
        let mut transposed = vec![0.0; weights.transposed_len()];
        let model = weights.model(&mut transposed).unwrap();
        let (mut out, mut buffer) = (image.clone(), vec![0.0; model.attack_len()]);
        let rounding = |loss: f32| 1e-4 * loss.max(1e-2);
        let up = Fgsm { eps }.attack(&model, &image, label, &mut out, &mut buffer).unwrap();
        prop_assume!(is_smooth(&model, loss, label, [&image, &out]));
        prop_assert!(up.after.loss >= up.before.loss - rounding(up.before.loss), "{up:?}");
        let down = Otcm { eps, target: Target::Next }.attack(&model, &image, label, &mut out, &mut buffer).unwrap();
        prop_assume!(is_smooth(&model, loss, down.target.unwrap(), [&image, &out]));
        prop_assert!(down.after.loss <= down.before.loss + rounding(down.before.loss), "{down:?}");
    }

    /// So does the margin, for an attack that follows it, and the loss of every iterated attack.
    #[test]
    fn small_steps_move_either_loss_the_right_way((weights, image, label) in sample(), margin in any::<bool>()) {
        let loss = if margin { Loss::Margin } else { Loss::CrossEntropy };
        let mut transposed = vec![0.0; weights.transposed_len()];
        let model = weights.model(&mut transposed).unwrap();
        let (mut out, mut buffer) = (image.clone(), vec![0.0; model.attack_len()]);
        let rounding = |value: f32| 1e-4 * value.abs().max(1e-2);
        let bim = Bim { loss, ..Bim::with_steps(1e-3, 3) };
        let mi_fgsm = MiFgsm { loss, ..MiFgsm::with_steps(1e-3, 3) };
        for attack in [AnyAttack::from(bim), mi_fgsm.into()] {
            let up = attack.attack(&model, &image, label, &mut out, &mut buffer).unwrap();
            prop_assume!(is_smooth(&model, loss, label, [&image, &out]));
            prop_assert!(up.after.loss >= up.before.loss - rounding(up.before.loss), "{up:?}");
        }
        let down = Targeted { attack: mi_fgsm, target: Target::Next }.attack(&model, &image, label, &mut out, &mut buffer).unwrap();
        let target = down.target.unwrap();
        prop_assert_eq!(down.after.loss, loss.value(model.logits(&out, &mut buffer).unwrap(), target));
        prop_assume!(is_smooth(&model, loss, target, [&image, &out]));
        prop_assert!(down.after.loss <= down.before.loss + rounding(down.before.loss), "{down:?}");
    }

    /// A seed gives the same image again, another seed another start; more restarts never give a weaker image, and the
    /// first that reaches the goal is the last.
    #[test]
    fn restarts_keep_the_worst((weights, image, label) in sample(), eps in 0.05f32..0.4, seed in any::<u64>(), targeted in any::<bool>()) {
        let mut transposed = vec![0.0; weights.transposed_len()];
        let model = weights.model(&mut transposed).unwrap();
        let run = |restarts: usize, seed: u64| {
            let attack = Pgd { restarts, seed, ..short_pgd(eps, 1) };
            let (mut out, mut buffer) = (vec![f32::NAN; image.len()], vec![0.0; attack.buffer_len(&model)]);
            let (out_, buffer) = (&mut out, &mut buffer);
            let outcome = match targeted {
                true => Targeted { attack, target: Target::Next }.attack(&model, &image, label, out_, buffer),
                false => attack.attack(&model, &image, label, out_, buffer),
            };
            (outcome.unwrap(), out)
        };
        prop_assert_eq!(run(3, seed), run(3, seed));
        let goal = |outcome: &midge_core::attack::Outcome| outcome.target.map_or(outcome.after.class != label, |t| outcome.after.class == t);
        let (mut before, mut image_before) = run(1, seed);
        for restarts in 2..5 {
            let (now, image_now) = run(restarts, seed);
            if goal(&before) {
                prop_assert_eq!(&image_now, &image_before);
            } else if !goal(&now) {
                let change = now.after.loss - before.after.loss;
                prop_assert!(if targeted { change <= 0.0 } else { change >= 0.0 }, "{before:?} {now:?}");
            }
            (before, image_before) = (now, image_now);
        }
        // One restart more begins with a seed of its own: what it adds is what a single start from there finds.
        let (single, _) = run(1, start_seed(seed, 1));
        let (two, _) = run(2, seed);
        let (first, _) = run(1, seed);
        if !goal(&first) {
            prop_assert_eq!(goal(&two), goal(&single));
        }
    }

    /// A pixel without a gradient stays, and so does the whole image of a dead network.
    #[test]
    fn zero_gradients_are_reported((mut weights, image, label) in sample(), eps in 0.01f32..0.5) {
        weights.tensors.iter_mut().for_each(|tensor| tensor.fill(0.0));
        let mut transposed = vec![0.0; weights.transposed_len()];
        let model = weights.model(&mut transposed).unwrap();
        let (mut out, mut buffer) = (vec![0.0; image.len()], vec![0.0; model.attack_len()]);
        let outcome = MiFgsm::with_steps(eps, 4).attack(&model, &image, label, &mut out, &mut buffer).unwrap();
        prop_assert_eq!(outcome.zero_gradient_steps, 4);
        prop_assert_eq!(out, image);
    }

    /// One element fewer than any of the planned lengths is an error, and so is every bad value.
    #[test]
    fn bad_arguments_are_errors((weights, image, label) in sample(), bad in prop_oneof![Just(-0.1f32), Just(1.1), Just(f32::NAN)]) {
        let network = weights.network;
        let model = Model::<f32>::from_tensors(&network, &weights.tensors.iter().map(|tensor| tensor.as_slice()).collect::<Vec<_>>()).unwrap();
        let short = |len: usize| Err(Error::Length { what: "buffer", expected: len, found: len - 1 });
        let (inference, gradient, attack) = (network.inference_len(), network.gradient_len(), network.attack_len());
        let (mut out, mut buffer) = (vec![0.0; image.len()], vec![0.0; attack]);
        prop_assert_eq!(model.logits(&image, &mut buffer[..inference - 1]).map(|_| ()), short(inference));
        prop_assert_eq!(model.input_gradient(&image, label, &mut buffer[..gradient - 1]).map(|_| ()), short(gradient));
        prop_assert_eq!(Fgsm { eps: 0.1 }.attack(&model, &image, label, &mut out, &mut buffer[..gradient - 1]).map(|_| ()), short(gradient));
        prop_assert_eq!(MiFgsm::new(0.1).attack(&model, &image, label, &mut out, &mut buffer[..attack - 1]).map(|_| ()), short(attack));
        let classes = network.classes();
        prop_assert_eq!(model.loss(&image, classes, &mut buffer).err(), Some(Error::Class { class: classes, classes }));
        for eps in [-0.1, f32::INFINITY, f32::NAN] {
            let error = Fgsm { eps }.attack(&model, &image, label, &mut out, &mut buffer).unwrap_err();
            assert!(matches!(error, Error::Option { what: "eps", .. }), "{error}");
        }
        let two = Pgd { restarts: 2, ..Pgd::new(0.1, 0) };
        prop_assert_eq!(two.attack(&model, &image, label, &mut out, &mut buffer[..attack - 1]).map(|_| ()), short(attack));
        let one = Pgd { restarts: 1, ..two };
        prop_assert_eq!(one.attack(&model, &image, label, &mut out, &mut buffer[..gradient - 1]).map(|_| ()), short(gradient));
        let none = Pgd { restarts: 0, ..two };
        prop_assert_eq!(none.attack(&model, &image, label, &mut out, &mut buffer).err(), Some(Error::NoRestarts));
        prop_assert_eq!(Bim::with_steps(0.1, 0).attack(&model, &image, label, &mut out, &mut buffer).err(), Some(Error::NoSteps));
        prop_assert_eq!(MiFgsm::with_steps(0.1, 0).attack(&model, &image, label, &mut out, &mut buffer).err(), Some(Error::NoSteps));
        let own = Otcm { eps: 0.1, target: Target::Class(label) };
        prop_assert_eq!(own.attack(&model, &image, label, &mut out, &mut buffer).err(), Some(Error::TargetIsLabel { class: label }));
        let own = Targeted { attack: two, target: Target::Class(label) };
        prop_assert_eq!(own.attack(&model, &image, label, &mut out, &mut buffer).err(), Some(Error::TargetIsLabel { class: label }));
        let mut image = image;
        let last = image.len() - 1;
        image[last] = bad;
        let error = Fgsm { eps: 0.1 }.attack(&model, &image, label, &mut out, &mut buffer).unwrap_err();
        assert!(matches!(error, Error::Pixel { index, .. } if index == last), "{error}");
    }

    /// Finite differences of the whole network, on both sides, far and near. A kink (a ReLU or a pooling that switches
    /// between two points) makes them disagree; there the gradient must lie between them. Equal pixels are set apart
    /// first: at a tie of a pooling several filters switch at once, some to either side, and the rule that the first
    /// position wins gives the sum of both slopes. (Ties have reference values of their own.)
    #[test]
    fn the_gradient_is_that_of_finite_differences((weights, mut image, label) in sample(), margin in any::<bool>(), pixels in prop::collection::vec(any::<prop::sample::Index>(), 8)) {
        let kind = if margin { Loss::Margin } else { Loss::CrossEntropy };
        let h = 4e-3f32;
        for (i, x) in image.iter_mut().enumerate() {
            let apart = (i as f32 * 0.618_034).fract();
            *x = (0.8 * *x + 0.2 * apart).clamp(h, 1.0 - h);
        }
        let mut transposed = vec![0.0; weights.transposed_len()];
        let model = weights.model(&mut transposed).unwrap();
        let mut buffer = vec![0.0; model.gradient_len()];
        let result = model.loss_gradient(kind, &image, label, &mut buffer).unwrap();
        let (centre, gradient) = (result.loss, result.gradient.to_vec());
        for pixel in pixels {
            let i = pixel.index(image.len());
            let moved = |d: f32| {
                let mut moved = image.clone();
                moved[i] += d;
                (kind.value(model.logits(&moved, &mut vec![0.0; weights.network.inference_len()]).unwrap(), label) - centre) / d
            };
            let slopes = [-h, h, -h / 8.0, h / 8.0].map(moved);
            let (low, high) = slopes.iter().fold((f32::MAX, f32::MIN), |(low, high), x| (low.min(*x), high.max(*x)));
            let tolerance = 2e-3 + 0.02 * low.abs().max(high.abs());
            let (low, high) = (low - tolerance, high + tolerance);
            prop_assert!((low..=high).contains(&gradient[i]), "pixel {i}: {} not in {low}..{high}", gradient[i]);
        }
    }
}

/// Below the number of classes there is a loss; elsewhere nothing that could be taken for one.
#[test]
fn a_class_that_does_not_exist_has_no_loss() {
    let logits = [1.0, -2.0, 0.5];
    for loss in [Loss::CrossEntropy, Loss::Margin] {
        for class in [0, 1, 2, 3, 4, usize::MAX] {
            let mut gradient = [0.25; 3];
            loss.gradient(&logits, class, &mut gradient);
            assert_eq!(loss.value(&logits, class).is_nan(), class > 2, "{loss:?} {class}");
            assert!(gradient.iter().all(|g| g.is_nan() == (class > 2)), "{loss:?} {class}");
        }
    }
    assert!(cross_entropy(&[], 0).is_nan());
}

#[test]
fn the_least_likely_class_is_another_and_the_lowest_of_equal_ones() {
    assert_eq!(least_likely(&[3.0, 2.0, 2.0], 0), 1);
    assert_eq!(least_likely(&[3.0, 2.0, 2.0], 1), 2);
    assert_eq!(least_likely(&[-1.0, 2.0, 1.0], 0), 2);
}

/// Where nobody looks at the results, starts that were asked for are not left out in silence.
#[test]
fn without_a_look_there_is_one_start() {
    let weights = initialise("input(2,2,1) flatten dense(units=3)".parse().unwrap(), 5);
    let mut transposed = vec![0.0; weights.transposed_len()];
    let model = weights.model(&mut transposed).unwrap();
    let (image, mut out) = ([0.5; 4], [0.0; 4]);
    let mut buffer = vec![0.0; perturb_len(&weights.network, 1)];
    let mut run = |restarts| {
        let mut walks = [Walk::new(&image, &mut out, Goal::Away(0), 7)];
        Pgd { restarts, ..short_pgd(0.1, 1) }.perturb_batch(&model, &mut walks, &mut buffer)
    };
    assert_eq!((run(0), run(1)), (Err(Error::NoRestarts), Ok(())));
    assert_eq!(run(3), Err(Error::BatchRestarts { restarts: 3 }));
}

#[test]
fn a_confident_sample_has_a_gradient_in_both_types() {
    // Logits 2k and 0 from one pixel: the probability of the other class is exp(-2k) = 1e-9.
    const TEXT: &str = "input(1,1,1) flatten dense(units=2,bias=false)";
    let network: Network = TEXT.parse().unwrap();
    let k = 0.5 * 1e9f32.ln();
    let full = [2.0 * k, 0.0];
    let half = full.map(midge_core::f16::from_f32);
    let mut buffer = vec![0.0; network.gradient_len()];
    let check = |gradient: f32, weight: f32| {
        let expected = -f64::from(weight) / (1.0 + f64::from(weight).exp());
        assert!((f64::from(gradient) / expected - 1.0).abs() < 1e-4, "{gradient} {expected}");
    };
    let model = Model::<f32>::from_tensors(&network, &[&full]).unwrap();
    check(model.input_gradient(&[1.0], 0, &mut buffer).unwrap().gradient[0], full[0]);
    let model = Model::<midge_core::f16>::from_tensors(&network, &[&half]).unwrap();
    check(model.input_gradient(&[1.0], 0, &mut buffer).unwrap().gradient[0], half[0].to_f32());
}

/// One step of BIM with the whole eps is FGSM, and MI-FGSM without momentum is BIM.
#[test]
fn attacks_with_the_same_steps_are_the_same() {
    let weights = initialise("input(8,8,1) conv2d(filters=4,kernel=3) relu flatten dense(units=3)".parse().unwrap(), 5);
    let mut transposed = vec![0.0; weights.transposed_len()];
    let model = weights.model(&mut transposed).unwrap();
    let image: Vec<f32> = (0..64).map(|i| (i as f32 * 0.618_034).fract()).collect();
    let (mut a, mut b) = (vec![0.0; 64], vec![0.0; 64]);
    let mut buffer = vec![0.0; model.attack_len()];
    Fgsm { eps: 0.1 }.attack(&model, &image, 1, &mut a, &mut buffer).unwrap();
    Bim::with_steps(0.1, 1).attack(&model, &image, 1, &mut b, &mut buffer).unwrap();
    assert_eq!(a, b);
    Bim::new(0.1).attack(&model, &image, 1, &mut a, &mut buffer).unwrap();
    MiFgsm { decay: 0.0, ..MiFgsm::new(0.1) }.attack(&model, &image, 1, &mut b, &mut buffer).unwrap();
    assert_eq!(a, b);
    Otcm { eps: 0.1, target: Target::Next }.attack(&model, &image, 1, &mut a, &mut buffer).unwrap();
    Targeted { attack: Bim::with_steps(0.1, 1), target: Target::Next }
        .attack(&model, &image, 1, &mut b, &mut buffer)
        .unwrap();
    assert_eq!(a, b);
}
