//! Auto-PGD and Square beside slow and obvious ones, written from the papers with lists of all losses and copies of all images.

use midge_core::attack::{Apgd, Attack, Goal, Pgd, Square};
use midge_core::loss::{Loss, argmax};
use midge_core::{Model, Network};
use midge_trainer::training::initialise;
use rand_xoshiro::Xoshiro128PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

const NETWORK: &str = "input(9,7,2) conv2d(filters=6,kernel=3,padding=same) relu maxpool2d(pool=2) flatten dense(units=12) relu \
                       dense(units=4)";
const EPS: f32 = 0.125;

fn clip(x: f32, clean: f32) -> f32 {
    x.clamp((clean - EPS).max(0.0), (clean + EPS).min(1.0))
}

/// Raised loss (towards a target: lowered), gradient of it, and whether the image is at the goal.
fn look(model: &Model<'_, f32>, loss: Loss, image: &[f32], goal: Goal) -> (f32, Vec<f32>, bool) {
    let mut buffer = vec![0.0; model.gradient_len()];
    let found = model.loss_gradient(loss, image, goal.class(), &mut buffer).unwrap();
    let (sign, class) = (if matches!(goal, Goal::Away(_)) { 1.0 } else { -1.0 }, argmax(found.logits));
    let is_reached = matches!(goal, Goal::Away(label) if class != label) || goal == Goal::Toward(class);
    (sign * found.loss, found.gradient.iter().map(|g| sign * g).collect(), is_reached)
}

/// Algorithm 1 of Croce and Hein, from a given start.
fn slow_apgd(model: &Model<'_, f32>, apgd: &Apgd, (clean, start, goal): (&[f32], Vec<f32>, Goal)) -> Vec<f32> {
    let mut checkpoints = vec![0.0f64, 0.22];
    while checkpoints[checkpoints.len() - 1] < 1.0 {
        let [before, last] = checkpoints[checkpoints.len() - 2..] else { unreachable!() };
        checkpoints.push(last + f64::max(last - before - 0.03, 0.06));
    }
    // In steps, for 100 of them.
    let checkpoints: Vec<usize> = checkpoints.iter().map(|share| (share * 100.0).round() as usize).collect();
    let (mut alphas, mut losses, mut images) = (vec![2.0 * EPS], Vec::new(), vec![start]);
    let (mut best, mut best_losses) = (0, Vec::new());
    for k in 0..=apgd.steps {
        let (loss, _, is_reached) = look(model, apgd.loss, &images[k], goal);
        if is_reached {
            return images[k].clone();
        }
        losses.push(loss);
        if loss > losses[best] {
            best = k;
        }
        best_losses.push(losses[best]);
        let mut alpha = alphas[k];
        if let Some(j) = checkpoints.iter().position(|w| *w == k).filter(|j| *j > 0) {
            let (since, number) = (checkpoints[j - 1], k - checkpoints[j - 1]);
            let raised = (since..k).filter(|i| losses[i + 1] > losses[*i]).count();
            let alpha_stands = since > 0 && alphas[since + 1] == alphas[since];
            if raised as f64 <= 0.75 * number as f64 || alpha_stands && best_losses[since] == best_losses[k] {
                alpha /= 2.0;
                images[k] = images[best].clone();
            }
        }
        alphas.push(alpha);
        let from = &images[k];
        let (_, gradient, _) = look(model, apgd.loss, from, goal);
        let next = (0..from.len()).map(|i| {
            let sign = if gradient[i] == 0.0 { 0.0 } else { gradient[i].signum() };
            let z = clip(from[i] + alpha * sign, clean[i]);
            let before = if k == 0 { from[i] } else { images[k - 1][i] };
            let share = if k == 0 { 1.0 } else { 0.75 };
            clip(from[i] + share * (z - from[i]) + (1.0 - share) * (from[i] - before), clean[i])
        });
        images.push(next.collect());
    }
    images[best].clone()
}

/// Networks with weights, images and goals.
fn cases() -> impl Iterator<Item = (midge_trainer::weights::Weights, Vec<f32>, Goal)> {
    let network: Network = NETWORK.parse().unwrap();
    (0..12).map(move |seed| {
        let mut random = Xoshiro128PlusPlus::seed_from_u64(seed);
        let image = (0..network.input().len()).map(|_| (random.next_u32() >> 8) as f32 / (1 << 24) as f32).collect();
        let mut weights = initialise(network, seed);
        // So sure of one class that some attacks arrive and others do not.
        *weights.tensors.last_mut().unwrap().first_mut().unwrap() += [0.2, 2.0, 9.0][seed as usize % 3];
        (weights, image, if seed % 2 == 0 { Goal::Away(0) } else { Goal::Toward(1) })
    })
}

#[test]
fn apgd_goes_the_papers_way() {
    let (mut arrived, mut halved) = (0, 0);
    for (number, (weights, clean, goal)) in cases().enumerate() {
        let mut transposed = vec![0.0; weights.transposed_len()];
        let model = &weights.model(&mut transposed).unwrap();
        let mut buffer = vec![0.0; Apgd::new(EPS, 7).buffer_len(model)];
        let [mut start, mut found] = [clean.clone(), clean.clone()];
        // A step of 0 leaves the random start where it is.
        let pgd = Pgd { alpha: 0.0, ..Pgd::with_steps(EPS, 1, 7) };
        pgd.attack_towards(model, &clean, goal, &mut start, &mut buffer).unwrap();
        for loss in [Loss::CrossEntropy, Loss::Margin] {
            let apgd = Apgd { loss, ..Apgd::new(EPS, 7) };
            let outcome = apgd.attack_towards(model, &clean, goal, &mut found, &mut buffer).unwrap();
            let expected = slow_apgd(model, &apgd, (&clean, start.clone(), goal));
            let largest = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(largest <= 1e-6, "{number} {loss:?} {goal:?}: {largest}");
            arrived += usize::from(goal.is_reached(outcome.after));
            halved += usize::from(!goal.is_reached(outcome.after));
        }
    }
    assert!(arrived >= 4 && halved >= 4, "{arrived} arrived, {halved} went all the way");
}

#[test]
fn square_starts_with_stripes_and_keeps_what_is_better() {
    for (weights, clean, goal) in cases() {
        let mut transposed = vec![0.0; weights.transposed_len()];
        let model = &weights.model(&mut transposed).unwrap();
        let mut buffer = vec![0.0; Square::len(model.network())];
        let mut attack = |queries| {
            let mut found = clean.clone();
            let square = Square { queries, ..Square::new(EPS, 3) };
            let outcome = square.attack_towards(model, &clean, goal, &mut found, &mut buffer).unwrap();
            let ends = found
                .iter()
                .zip(&clean)
                .map(|(x, clean)| (*x == clip(clean - EPS, *clean), *x == clip(clean + EPS, *clean)));
            (outcome, ends.collect::<Vec<_>>())
        };
        let (_, stripes) = attack(1);
        for at in 0..7 * 2 {
            let column = || (0..9).map(|row| stripes[row * 14 + at]);
            assert!(column().all(|(low, _)| low) || column().all(|(_, high)| high), "column and channel {at}");
        }
        // Fewer queries of the same number in all would be another schedule, so each length is an attack of its own.
        let (few, ends) = attack(60);
        assert!(ends.iter().all(|(low, high)| *low || *high), "every pixel is at an end of the ball");
        let nearer = goal.is_nearer(few.after, attack(1).0.after);
        assert!(nearer || goal.is_reached(few.after) || few.after == attack(1).0.after, "{few:?}");
    }
}
