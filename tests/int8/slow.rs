//! The slow and obvious network: bytes by the rules, and slopes in f64.

use midge_core::{Layer, Padding, Shape, Size};
use midge_trainer::quantised::{Int8Stage, Int8Weights};

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
pub(crate) struct Map {
    shape: Shape,
    pub(crate) values: Vec<i8>,
    slopes: Vec<Vec<Slope>>,
}

/// Windows along one axis: the first element of each, before the border if negative.
fn starts(n: usize, (kernel, stride): (u8, u8), zeros: Option<u8>) -> Vec<isize> {
    let (n, kernel, stride) = (n as isize, kernel as isize, stride as isize);
    let (count, before) = match zeros {
        Some(zeros) => ((n + 2 * zeros as isize - kernel) / stride + 1, zeros as isize),
        None => {
            let count = (n + stride - 1) / stride;
            (count, ((count - 1) * stride + kernel - n).max(0) / 2)
        }
    };
    (0..count).map(|i| i * stride - before).collect()
}

/// Positions of each window of a map, row by row, with the row and column inside the window.
fn windows(shape: Shape, kernel: Size, stride: Size, padding: Padding) -> (Shape, Vec<Window>) {
    let zeros = |of: fn(Size) -> u8| match padding {
        Padding::Same => None,
        Padding::Valid => Some(0),
        Padding::Zeros(zeros) => Some(of(zeros.size())),
    };
    let rows = starts(shape.height, (kernel.height, stride.height), zeros(|size| size.height));
    let columns = starts(shape.width, (kernel.width, stride.width), zeros(|size| size.width));
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
pub(crate) fn run(weights: &Int8Weights, image: &[i8]) -> Vec<Map> {
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
pub(crate) fn gradient(maps: &[Map], logits: &[f32]) -> Vec<f64> {
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
