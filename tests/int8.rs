//! Random networks of integers against a slow and obvious one: the same bytes, and the real-valued gradient straight through
//! their rounding in f64.

use midge_core::attack::{Attack, Bim, Fgsm, MiFgsm};
use midge_core::batch::Batch;
use midge_core::loss::cross_entropy_gradient;
use midge_core::{Grid, Layer, Level, Model, ModelError, Network, Padding, Shape, Size};
use midge_trainer::quantised::{Int8Stage, Int8Weights};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

const NETWORKS: [&str; 12] = [
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
];

/// Random tensors whose outputs use the whole range of a byte.
fn weights(text: &str, seed: u64) -> Int8Weights {
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
                // Sums have about this size; a few channels do nothing.
                let size = 60.0 * 70.0 * (taps as f32).sqrt();
                stage.multipliers = (0..outputs)
                    .map(|o| {
                        if o % 11 == 10 {
                            [[0, 0], [i32::MAX, -31]][o / 11 % 2]
                        } else {
                            multiplier(60.0 / size * (0.5 + below(100) as f32 / 100.0))
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

/// The rule of gemmlowp, in integers of 128 bits.
fn requantise(x: i32, [multiplier, shift]: [i32; 2]) -> i64 {
    let (left, right) = (shift.max(0), (-shift).max(0));
    let product = (i128::from(x) << left) * i128::from(multiplier);
    let high = (product + if product >= 0 { 1 << 30 } else { 1 - (1 << 30) }) / (1 << 31);
    let half = if right == 0 { 0 } else { 1i128 << (right - 1) };
    (if high >= 0 { (high + half) >> right } else { -((-high + half) >> right) }) as i64
}

/// A map, an element of it, and what a value changes with it.
type Slope = (usize, usize, f64);

/// Row and column on the map, and inside the window.
type Window = Vec<(usize, usize, usize, usize)>;

/// A map of integers, and for each element the elements before it that it depends on, with slopes.
struct Map {
    shape: Shape,
    values: Vec<i8>,
    slopes: Vec<Vec<Slope>>,
}

/// Windows along one axis: the first element of each, before the border if negative.
fn starts(n: usize, (kernel, stride): (u8, u8), padding: Padding) -> Vec<isize> {
    let (n, kernel, stride) = (n as isize, kernel as isize, stride as isize);
    let (count, before) = match padding {
        Padding::Valid => ((n - kernel) / stride + 1, 0),
        Padding::Same => {
            let count = (n + stride - 1) / stride;
            (count, ((count - 1) * stride + kernel - n).max(0) / 2)
        }
    };
    (0..count).map(|i| i * stride - before).collect()
}

/// Positions of each window of a map, row by row, with the row and column inside the window.
fn windows(shape: Shape, kernel: Size, stride: Size, padding: Padding) -> (Shape, Vec<Window>) {
    let rows = starts(shape.height, (kernel.height, stride.height), padding);
    let columns = starts(shape.width, (kernel.width, stride.width), padding);
    let mut all = Vec::new();
    for row in &rows {
        for column in &columns {
            let mut own = Vec::new();
            for ky in 0..usize::from(kernel.height) {
                for kx in 0..usize::from(kernel.width) {
                    let (y, x) = (row + ky as isize, column + kx as isize);
                    if (0..shape.height as isize).contains(&y) && (0..shape.width as isize).contains(&x) {
                        own.push((y as usize, x as usize, ky, kx));
                    }
                }
            }
            all.push(own);
        }
    }
    (Shape::hwc(rows.len(), columns.len(), shape.channels), all)
}

/// All maps, layer by layer: the slow and obvious network.
fn run(weights: &Int8Weights, image: &[i8]) -> Vec<Map> {
    let network = &weights.network;
    let mut maps = vec![Map { shape: network.input(), values: image.to_vec(), slopes: Vec::new() }];
    let mut value_of: Vec<usize> = Vec::new();
    let mut current = 0;
    let starts: Vec<usize> = network.int8_stages().collect();
    let mut number = 0;
    while number < starts.len() {
        let first = starts[number];
        for index in value_of.len()..first {
            if let Layer::From { layer } = network.layers()[index] {
                current = value_of[layer];
            }
            value_of.push(current);
        }
        let end = starts.get(number + 1).copied().unwrap_or(network.layers().len());
        // A branch or a vector begins no stage, and ends one.
        let own: Vec<Layer> = network.layers()[first..end]
            .iter()
            .copied()
            .take_while(|layer| !matches!(layer, Layer::From { .. }))
            .filter(|layer| *layer != Layer::Flatten)
            .collect();
        let added = if let Layer::Add { layer } = own[0] { Some(value_of[layer]) } else { None };
        let map = stage(&weights.stages[number], &own, (current, added), &maps);
        maps.push(map);
        current = maps.len() - 1;
        value_of.extend(
            network.layers()[first..end].iter().take_while(|l| !matches!(l, Layer::From { .. })).map(|_| current),
        );
        number += 1;
    }
    maps
}

fn stage(own: &Int8Stage, layers: &[Layer], (source, added): (usize, Option<usize>), maps: &[Map]) -> Map {
    let input = &maps[source];
    let [zero, output_zero, added_zero, low, high] = own.range;
    let scale = |o: usize| {
        let [multiplier, shift] = own.multipliers[o];
        f64::from(multiplier) * 2f64.powi(shift - 31) * f64::from(own.scales[1]) / f64::from(own.scales[0])
    };
    let byte = |value: i64| (value + i64::from(output_zero)).clamp(i64::from(low), i64::from(high)) as i8;
    let at = |y: usize, x: usize, i: usize| (y * input.shape.width + x) * input.shape.channels + i;
    // Sums, the byte of each, and slopes.
    let mut shape = input.shape;
    let mut sums: Vec<(i32, i8, Vec<Slope>)> = Vec::new();
    match layers[0] {
        Layer::Conv2d { filters, kernel, stride, padding, .. } => {
            let (map, all) = windows(input.shape, kernel, stride, padding);
            shape = Shape::hwc(map.height, map.width, filters);
            for window in &all {
                for o in 0..filters {
                    let (mut sum, mut slopes) = (own.bias[o], Vec::new());
                    for (y, x, ky, kx) in window {
                        for i in 0..input.shape.channels {
                            let tap = ((o * usize::from(kernel.height) + ky) * usize::from(kernel.width) + kx)
                                * input.shape.channels
                                + i;
                            let (w, place) = (own.weights[tap], at(*y, *x, i));
                            sum += (i32::from(input.values[place]) - zero) * i32::from(w);
                            slopes.push((source, place, f64::from(w) * scale(o)));
                        }
                    }
                    sums.push((sum, byte(requantise(sum, own.multipliers[o])), slopes));
                }
            }
        }
        Layer::DepthwiseConv2d { multiplier, kernel, stride, padding, .. } => {
            let (map, all) = windows(input.shape, kernel, stride, padding);
            let filters = input.shape.channels * multiplier;
            shape = Shape::hwc(map.height, map.width, filters);
            for window in &all {
                for o in 0..filters {
                    let (mut sum, mut slopes) = (own.bias[o], Vec::new());
                    for (y, x, ky, kx) in window {
                        let (w, place) = (
                            own.weights[(ky * usize::from(kernel.width) + kx) * filters + o],
                            at(*y, *x, o / multiplier),
                        );
                        sum += (i32::from(input.values[place]) - zero) * i32::from(w);
                        slopes.push((source, place, f64::from(w) * scale(o)));
                    }
                    sums.push((sum, byte(requantise(sum, own.multipliers[o])), slopes));
                }
            }
        }
        Layer::Dense { units, .. } => {
            shape = Shape::hwc(1, 1, units);
            for (o, row) in own.weights.chunks(input.values.len()).enumerate() {
                let products = row.iter().zip(&input.values).map(|(w, x)| (i32::from(*x) - zero) * i32::from(*w));
                let sum = own.bias[o] + products.sum::<i32>();
                let slopes = row.iter().enumerate().map(|(i, w)| (source, i, f64::from(*w) * scale(o))).collect();
                sums.push((sum, byte(requantise(sum, own.multipliers[o])), slopes));
            }
        }
        Layer::AvgPool2d { pool, padding } => {
            let (map, all) = windows(input.shape, pool, pool, padding);
            shape = map;
            for window in &all {
                for i in 0..input.shape.channels {
                    let places: Vec<usize> = window.iter().map(|(y, x, ..)| at(*y, *x, i)).collect();
                    let (sum, n) =
                        (places.iter().map(|place| i32::from(input.values[*place])).sum::<i32>(), places.len() as i32);
                    let mean = (if sum > 0 { sum + n / 2 } else { sum - n / 2 }) / n;
                    let slopes = places.iter().map(|place| (source, *place, 1.0 / f64::from(n))).collect();
                    sums.push((mean - output_zero, mean.clamp(low, high) as i8, slopes));
                }
            }
        }
        Layer::Add { .. } => {
            let other = added.unwrap();
            for (place, (x, y)) in input.values.iter().zip(&maps[other].values).enumerate() {
                let scaled =
                    |x: i8, zero: i32, number: usize| requantise((i32::from(x) - zero) << 20, own.multipliers[number]);
                let sum = scaled(*x, zero, 0) + scaled(*y, added_zero, 1);
                let value = byte(requantise(sum as i32, own.multipliers[2]));
                sums.push((sum as i32, value, vec![(source, place, 1.0), (other, place, 1.0)]));
            }
        }
        _ => {
            let values = input.values.iter().enumerate();
            sums.extend(values.map(|(place, x)| {
                (i32::from(*x) - zero, (i32::from(*x)).clamp(low, high) as i8, vec![(source, place, 1.0)])
            }));
        }
    }
    for layer in layers {
        if let Layer::MaxPool2d { pool, padding } = *layer {
            let side = Size::square(pool as u8);
            let (map, all) = windows(shape, side, side, padding);
            let mut pooled = Vec::new();
            for window in &all {
                for i in 0..shape.channels {
                    let place = |(y, x): (usize, usize)| (y * shape.width + x) * shape.channels + i;
                    let mut best = place((window[0].0, window[0].1));
                    for (y, x, ..) in &window[1..] {
                        if sums[place((*y, *x))].0 > sums[best].0 {
                            best = place((*y, *x));
                        }
                    }
                    pooled.push(sums[best].clone());
                }
            }
            (shape, sums) = (map, pooled);
        }
    }
    let relu = layers.iter().any(|layer| matches!(layer, Layer::Relu | Layer::Relu6));
    let six = layers.contains(&Layer::Relu6);
    // A sum above zero is alive, also where rounding hides it.
    let is_alive = |sum: i32, value: i8| (!relu || sum > 0) && (!six || i32::from(value) < high);
    let slopes =
        sums.iter().map(|(sum, value, slopes)| if is_alive(*sum, *value) { slopes.clone() } else { Vec::new() });
    Map { shape, slopes: slopes.collect(), values: sums.iter().map(|(_, value, _)| *value).collect() }
}

/// The gradient of the image from that of the logits, straight through all rounding.
fn gradient(maps: &[Map], logits: &[f32]) -> Vec<f64> {
    let mut gradients: Vec<Vec<f64>> = maps.iter().map(|map| vec![0.0; map.values.len()]).collect();
    gradients.last_mut().unwrap().iter_mut().zip(logits).for_each(|(target, g)| *target = f64::from(*g));
    for index in (1..maps.len()).rev() {
        for (element, slopes) in maps[index].slopes.iter().enumerate() {
            let g = gradients[index][element];
            for (map, place, slope) in slopes {
                gradients[*map][*place] += g * slope;
            }
        }
    }
    gradients.swap_remove(0)
}

fn image(len: usize, seed: u64) -> Vec<i8> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    (0..len)
        .map(|_| {
            if random.next_u32() % 8 == 0 {
                [i8::MIN, i8::MAX][random.next_u32() as usize % 2]
            } else {
                random.next_u32() as i8
            }
        })
        .collect()
}

/// Compares bytes and gradient of a model with those of the slow network; whether enough of the gradient is not zero, and 1.
fn compare(model: &Model<'_, i8>, bytes: &[i8], maps: &[Map], what: &str) -> (usize, usize) {
    let expected = &maps.last().unwrap().values;
    let (grid, logit) = (model.grid().unwrap(), model.logit_grid());
    let pixels: Vec<f32> = bytes.iter().map(|byte| grid.value(*byte)).collect();
    let mut buffer = vec![f32::NAN; model.gradient_len()];
    let logits = model.logits(&pixels, &mut buffer).unwrap();
    assert_eq!(&logits.iter().map(|x| logit.round(*x)).collect::<Vec<_>>(), expected, "{what}, logits only");
    let found = model.input_gradient(&pixels, 1, &mut buffer).unwrap();
    let found_bytes: Vec<i8> = found.logits.iter().map(|x| logit.round(*x)).collect();
    assert_eq!(&found_bytes, expected, "{what}");
    let mut logit_gradient = vec![0.0; found.logits.len()];
    cross_entropy_gradient(found.logits, 1, &mut logit_gradient);
    let expected = gradient(maps, &logit_gradient);
    let largest = expected.iter().fold(0.0f64, |largest, g| largest.max(g.abs()));
    for (place, (g, expected)) in found.gradient.iter().zip(&expected).enumerate() {
        let difference = (f64::from(*g) - expected).abs();
        assert!(difference <= 1e-5 * largest, "{what}, pixel {place}: {g} {expected}");
    }
    (usize::from(expected.iter().filter(|g| **g != 0.0).count() > expected.len() / 4), 1)
}

/// Logits and gradients of a batch are those of its images alone, to the bit.
fn compare_batch(model: &Model<'_, i8>, what: &str) {
    let (network, grid) = (model.network(), model.grid().unwrap());
    let images: Vec<Vec<f32>> =
        (0..5).map(|seed| image(network.input().len(), seed).iter().map(|byte| grid.value(*byte)).collect()).collect();
    let batch = Batch::gradient(network, 7);
    let mut memory = vec![f32::NAN; batch.buffer_len()];
    let mut pass = batch.forward(model, 5, |sample| &images[sample], &mut memory).unwrap();
    let (logits, gradient) = pass.logit_gradient();
    for (logits, gradient) in logits.chunks(network.classes()).zip(gradient.chunks_mut(network.classes())) {
        cross_entropy_gradient(logits, 1, gradient);
    }
    let mut gradients = vec![f32::NAN; 5 * network.input().len()];
    let logits = pass.input_gradient(&mut gradients).unwrap();
    let mut buffer = vec![f32::NAN; model.gradient_len()];
    let together = logits.chunks(network.classes()).zip(gradients.chunks(network.input().len()));
    for (image, (logits, gradient)) in images.iter().zip(together) {
        let alone = model.input_gradient(image, 1, &mut buffer).unwrap();
        assert_eq!((&*alone.logits, &*alone.gradient), (logits, gradient), "{what}");
    }
}

#[test]
fn bytes_and_gradient_are_those_of_a_slow_and_obvious_network() {
    let (mut with_gradient, mut all) = (0, 0);
    for (number, text) in NETWORKS.iter().enumerate() {
        for seed in 0..6 {
            let weights = weights(text, 100 * number as u64 + seed);
            let bytes = image(weights.network.input().len(), seed);
            let maps = run(&weights, &bytes);
            let mut memory = vec![f32::NAN; Model::<i8>::transposed_len(&weights.network)];
            for level in Level::all() {
                let stored = weights.model().unwrap().with_level(level);
                let (enough, count) = compare(&stored, &bytes, &maps, &format!("{text}, seed {seed}, {level:?}"));
                (with_gradient, all) = (with_gradient + enough, all + count);
                let prepared = weights.model().unwrap().with_transposed(level, &mut memory).unwrap();
                compare(&prepared, &bytes, &maps, &format!("{text}, seed {seed}, {level:?}, prepared"));
                compare_batch(&prepared, &format!("{text}, seed {seed}, {level:?}, batch"));
            }
        }
    }
    // Else the comparison would say little.
    assert!(4 * with_gradient > 3 * all, "{with_gradient} of {all}");
}

/// An attack on integers ends at integers in the ball, in the range, and is reported for them.
#[test]
fn the_result_of_an_attack_is_a_picture_of_integers() {
    for (number, text) in NETWORKS.iter().enumerate() {
        let weights = weights(text, number as u64);
        let model = weights.model().unwrap();
        let grid: Grid = model.grid().unwrap();
        let pixels: Vec<f32> = image(weights.network.input().len(), 5).iter().map(|byte| grid.value(*byte)).collect();
        for steps in [1.0, 2.0, 2.5, 0.4] {
            let eps = steps * grid.scale;
            let mut buffer = vec![f32::NAN; model.attack_len()];
            let mut out = vec![f32::NAN; pixels.len()];
            let mut check = |attack: &dyn Fn(&mut [f32], &mut [f32]) -> midge_core::attack::Outcome| {
                let outcome = attack(&mut out, &mut buffer);
                for (x, clean) in out.iter().zip(&pixels) {
                    assert_eq!(grid.value(grid.round(*x)), *x, "{text}: {x} is not on the grid");
                    assert!((x - clean).abs() <= eps + 1e-3 * grid.scale, "{text}: {x} is {steps} away from {clean}");
                }
                let mut buffer = vec![0.0; model.gradient_len()];
                assert_eq!(outcome.after.class, model.classify(&out, &mut buffer).unwrap().class);
                if steps < 1.0 {
                    assert_eq!(out, pixels);
                }
            };
            check(&|out, buffer| Fgsm { eps }.attack(&model, &pixels, 0, out, buffer).unwrap());
            check(&|out, buffer| Bim::new(eps).attack(&model, &pixels, 0, out, buffer).unwrap());
            check(&|out, buffer| MiFgsm::new(eps).attack(&model, &pixels, 0, out, buffer).unwrap());
        }
    }
}

/// A file with any byte changed is refused, or runs.
#[test]
fn damaged_files_are_refused_or_run() {
    for (number, text) in NETWORKS.iter().enumerate() {
        let weights = weights(text, number as u64);
        let file = weights.to_bytes().unwrap();
        let mut words = vec![0u64; file.len().div_ceil(8)];
        let mut refused = 0;
        let mut read = |bytes: &[u8]| {
            let place = &mut bytemuck::cast_slice_mut::<u64, u8>(&mut words)[..bytes.len()];
            place.copy_from_slice(bytes);
            let Ok(model) = Model::<i8>::from_safetensors(&weights.network, place) else {
                refused += 1;
                return;
            };
            let image = vec![model.range()[0]; weights.network.input().len()];
            model.input_gradient(&image, 0, &mut vec![0.0; model.gradient_len()]).unwrap();
        };
        read(&file);
        let step = (file.len() / 100).max(1);
        for at in (0..file.len()).step_by(step) {
            let mut damaged = file.clone();
            damaged[at] ^= 1 << (at % 8);
            read(&damaged);
            read(&file[..at]);
        }
        // All but the whole file: the checksum sees the rest.
        assert_eq!(refused, 2 * file.len().div_ceil(step), "{text}");
    }
    // Tensors that no file has a wrong checksum of.
    let good = weights(NETWORKS[0], 1);
    let bad = |change: &dyn Fn(&mut Int8Stage)| {
        let mut weights = good.clone();
        change(&mut weights.stages[0]);
        weights.model().err()
    };
    let layer = 0;
    assert_eq!(bad(&|_| ()), None);
    for change in [
        (&|stage: &mut Int8Stage| stage.range[0] = 128) as &dyn Fn(&mut Int8Stage),
        &|stage| stage.range[3] = stage.range[4] + 1,
        &|stage| stage.scales[0] = 0.0,
        &|stage| stage.scales[1] = f32::NAN,
        &|stage| stage.multipliers[2] = [-1, 0],
        &|stage| stage.multipliers[2] = [1, 32],
    ] {
        assert_eq!(bad(change), Some(ModelError::Quantisation { layer }));
    }
    assert_eq!(bad(&|stage| stage.bias[1] = i32::MIN), Some(ModelError::TooLarge { layer }));
    assert!(matches!(
        bad(&|stage| stage.bias.truncate(4)),
        Some(ModelError::TensorShape { expected: 5, found: 4, .. })
    ));
}
