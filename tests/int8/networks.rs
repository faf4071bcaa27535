//! Random networks of integers.

use midge_core::{Layer, Network, Size};
use midge_trainer::quantised::{Int8Stage, Int8Weights};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

pub(crate) const NETWORKS: [&str; 14] = [
    "input(9,8,3) conv2d(filters=5,kernel=3x2,stride=2x1) relu flatten dense(units=4)",
    "input(8,8,1) conv2d(filters=33,kernel=3) relu maxpool2d(pool=2) conv2d(filters=6,kernel=3,padding=valid) relu6 \
     maxpool2d(pool=3) flatten dense(units=7) relu dense(units=6) relu6 dense(units=3)",
    "input(7,9,4) depthwise_conv2d(kernel=3,stride=2) relu6 conv2d(filters=8,kernel=1) relu \
     depthwise_conv2d(kernel=3x1,padding=valid) conv2d(filters=3,kernel=1) flatten",
    "input(11,9,1) depthwise_conv2d(multiplier=8,kernel=5x4,stride=2) relu flatten dense(units=4)",
    "input(6,5,3) conv2d(filters=34,kernel=3) relu avgpool2d(pool=6x5) flatten dense(units=4)",
    "input(7,7,2) conv2d(filters=4,kernel=3) avgpool2d(pool=2x3) relu conv2d(filters=3,kernel=2) flatten dense(units=3)",
    "input(8,8,3) conv2d(filters=6,kernel=3) relu conv2d(filters=6,kernel=3) relu conv2d(filters=6,kernel=3) \
     add(layer=1) relu conv2d(filters=9,kernel=3,stride=2) relu conv2d(filters=9,kernel=3) from(layer=6) \
     conv2d(filters=9,kernel=1,stride=2) add(layer=9) relu avgpool2d(pool=4) flatten dense(units=5)",
    "input(6,7,2) maxpool2d(pool=2) conv2d(filters=3,kernel=3) maxpool2d(pool=2) maxpool2d(pool=2) flatten dense(units=3)",
    "input(5,5,2) conv2d(filters=4,kernel=3) relu6 conv2d(filters=4,kernel=3) from(layer=1) \
     depthwise_conv2d(kernel=3) add(layer=2) relu6 flatten dense(units=3)",
    "input(4,5,1) flatten dense(units=9) relu dense(units=3)",
    "input(1,1,300) flatten dense(units=40) dense(units=2)",
    "input(9,11,5) conv2d(filters=70,kernel=3) relu maxpool2d(pool=2) depthwise_conv2d(kernel=3) relu6 \
     conv2d(filters=19,kernel=1) maxpool2d(pool=3) relu flatten dense(units=65) relu dense(units=18) relu dense(units=5)",
    // Small maps behind many stages: some of these wait for their whole input.
    "input(18,16,2) conv2d(filters=4,kernel=3) relu depthwise_conv2d(kernel=3,stride=2) relu conv2d(filters=8,kernel=1) relu \
     maxpool2d(pool=2) depthwise_conv2d(kernel=3) relu conv2d(filters=12,kernel=1) relu depthwise_conv2d(kernel=3) \
     conv2d(filters=12,kernel=3) relu6 conv2d(filters=16,kernel=3,stride=2) relu conv2d(filters=16,kernel=3) relu \
     avgpool2d(pool=2x3) flatten dense(units=4)",
    "input(9,8,3) conv2d(filters=5,kernel=3,stride=2,padding=1) relu depthwise_conv2d(kernel=3,padding=2) relu \
     conv2d(filters=4,kernel=3x2,padding=1x0) flatten dense(units=3)",
];

/// Random tensors whose outputs use the whole range of a byte.
pub(crate) fn weights(text: &str, seed: u64) -> Int8Weights {
    let network = text.parse::<Network>().unwrap().int8();
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut below = |n: u64| random.next_u64() % n;
    let mut scales: Vec<(f32, i32)> = Vec::new();
    let mut of_layer = vec![(0.01f32, 0i32); network.layers().len()];
    let mut current = (0.017 + below(100) as f32 * 1e-4, below(100) as i32 - 90);
    let mut stages = Vec::new();
    let starts: Vec<usize> = network.int8_stages().collect();
    for (index, layer) in network.layers().iter().enumerate() {
        if let Layer::From { layer } = layer {
            current = of_layer[*layer];
        }
        if starts.contains(&index) {
            let end = starts.iter().copied().find(|start| *start > index).unwrap_or(network.layers().len());
            let own = &network.layers()[index..end];
            let input = network.input_shape(index).unwrap();
            let (outputs, taps) = match layer {
                Layer::Conv2d { filters, kernel, .. } => (*filters, area(*kernel) * input.channels),
                Layer::DepthwiseConv2d { multiplier, kernel, .. } => (input.channels * multiplier, area(*kernel)),
                Layer::Dense { units, .. } => (*units, input.len()),
                _ => (0, 0),
            };
            let keeps = outputs == 0 && !matches!(layer, Layer::Add { .. });
            let next = if keeps { current } else { (0.02 + below(100) as f32 * 2e-4, below(120) as i32 - 100) };
            let relu = own
                .iter()
                .take_while(|layer| !matches!(layer, Layer::From { .. } | Layer::Flatten))
                .any(|l| matches!(l, Layer::Relu | Layer::Relu6));
            let six = own.iter().any(|layer| matches!(layer, Layer::Relu6));
            let low = if relu { next.1.max(-128) } else { -128 };
            let high = if six { (next.1 + (6.0 / next.0).round() as i32).min(127) } else { 127 };
            let mut stage = Int8Stage {
                range: [current.1, next.1, 0, low, high],
                scales: [current.0, next.0],
                ..Int8Stage::default()
            };
            if let Layer::Add { layer } = layer {
                let added = of_layer[*layer];
                let largest = 2.0 * current.0.max(added.0);
                let output = largest / ((1 << 20) as f32 * next.0);
                stage.multipliers = [current.0 / largest, added.0 / largest, output].map(multiplier).to_vec();
                stage.range[2] = added.1;
            }
            if outputs > 0 {
                stage.weights = (0..outputs * taps).map(|_| below(255) as i32 as i8).collect();
                stage.bias = (0..outputs).map(|_| below(4000) as i32 - 2000).collect();
                // Sums have about this size; a few channels do nothing, or shift to the left.
                let size = 60.0 * 70.0 * (taps as f32).sqrt();
                stage.multipliers = (0..outputs)
                    .map(|o| {
                        let usual = multiplier(60.0 / size * (0.5 + below(100) as f32 / 100.0));
                        match o % 11 {
                            10 => [[0, 0], [i32::MAX, -31]][o / 11 % 2],
                            8 => [usual[0] >> 9, usual[1] + 9],
                            _ => usual,
                        }
                    })
                    .collect();
            }
            stages.push(stage);
            current = next;
        }
        of_layer[index] = current;
        scales.push(current);
    }
    Int8Weights::new(network, stages)
}

fn area(size: Size) -> usize {
    usize::from(size.height) * usize::from(size.width)
}

fn multiplier(real: f32) -> [i32; 2] {
    let shift = real.log2().floor() as i32 + 1;
    [((f64::from(real) / 2f64.powi(shift) * 2f64.powi(31)) as i64).min(i64::from(i32::MAX)) as i32, shift]
}
