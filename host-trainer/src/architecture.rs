//! Networks in the words that people use: `conv 16 3x3 same, relu, maxpool 2, dense 10`.
//!
//! ```text
//! network   = [ "input" HxWxC "," ] layer { "," layer }
//! layer     = "conv" filters kernel [ "stride" size ] [ padding ] [ bias ] | "depthwise" kernel [ "x" n ] [ "stride" size ] ...
//!           | "relu" [ threshold ] | "relu6" | "maxpool" size [ padding ] | "avgpool" size [ padding ]
//!           | "flatten" | "dense" [ units ] [ bias ] | "from" layer | "add" layer
//! size      = n | n "x" n       padding = "same" | "valid" | "padding" size      bias = "bias" | "no bias"
//! ```
//! What is left out is stride 1, same, bias; the input is that of the data, and so is the number of units of a last `dense`. In
//! front of the first dense layer stands a `flatten`, said or not. The core's own text, `input(28,28,1) conv2d(filters=..)`,
//! is taken too, with its input or without.

use anyhow::{Context, Result, bail, ensure};
use midge_core::Network;

/// What data say of the network that learns from them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Height, width and channels of the images.
    pub shape: Option<[usize; 3]>,
    /// Number of classes.
    pub classes: Option<usize>,
}

/// The most words of a layer.
const MAX_WORDS: usize = 12;

/// Whether a text says the input of its network, for which nothing need be known of the data but the classes.
pub fn says_input(text: &str) -> bool {
    text.trim_start().starts_with("input")
}

/// Reads a network.
///
/// # Errors
/// Which layer was not understood and what was expected, or what the data do not say either.
pub fn parse(text: &str, wanted: Wanted) -> Result<Network> {
    let text = if text.contains('(') { with_input(text.trim(), wanted)? } else { translate(text, wanted)? };
    text.parse().with_context(|| text.clone())
}

fn input(wanted: Wanted) -> Result<String> {
    let [height, width, channels] =
        wanted.shape.context("nothing says the shape of the images: expected input HxWxC first, or --size")?;
    Ok(format!("input({height},{width},{channels})"))
}

fn with_input(text: &str, wanted: Wanted) -> Result<String> {
    Ok(if says_input(text) { text.into() } else { format!("{} {text}", input(wanted)?) })
}

/// The core's text of a network.
fn translate(text: &str, wanted: Wanted) -> Result<String> {
    let mut items = text.split(',').map(str::trim).peekable();
    let first = items.next_if(|item| item.starts_with("input"));
    let mut words = vec![match first.map(|item| item.trim_start_matches("input").trim()) {
        Some(shape) => {
            let sizes: Vec<&str> = shape.split('x').map(str::trim).collect();
            ensure!(sizes.len() == 3, "input {shape}: expected height x width x channels, like 28x28x1");
            format!("input({})", sizes.join(","))
        }
        None => input(wanted)?,
    }];
    let mut is_flat = false;
    for item in items {
        let layer = Layer::read(item).with_context(|| format!("layer {item:?}"))?;
        if layer.name == "dense" && !is_flat {
            words.push("flatten".into());
        }
        is_flat |= ["dense", "flatten"].contains(&layer.name);
        words.push(layer.text(wanted).with_context(|| format!("layer {item:?}"))?);
    }
    // `flatten, dense` would have two.
    words.dedup_by(|b, a| a == "flatten" && b == "flatten");
    Ok(words.join(" "))
}

/// A layer's words, sorted by what they mean.
#[derive(Default)]
struct Layer<'a> {
    name: &'a str,
    numbers: Vec<&'a str>,
    stride: Option<&'a str>,
    multiplier: Option<&'a str>,
    /// As the core says it.
    padding: Option<&'a str>,
    bias: Option<bool>,
}

impl<'a> Layer<'a> {
    fn read(item: &'a str) -> Result<Self> {
        let mut words = item.split_whitespace().take(MAX_WORDS);
        let mut layer = Self { name: words.next().context("expected a layer, found nothing")?, ..Self::default() };
        while let Some(word) = words.next() {
            match word {
                "same" | "valid" => layer.padding = Some(word),
                "bias" => layer.bias = Some(true),
                "no" if words.next() == Some("bias") => layer.bias = Some(false),
                "padding" => layer.padding = Some(words.next().context("expected a number behind padding")?),
                "stride" => layer.stride = Some(words.next().context("expected a number behind stride")?),
                _ if word.starts_with(|c: char| c.is_ascii_digit()) => layer.numbers.push(word),
                _ if word.len() > 1 && word.starts_with('x') => layer.multiplier = Some(&word[1..]),
                _ => bail!("{word:?}: expected a number, stride, same, valid, padding, bias or no bias"),
            }
        }
        Ok(layer)
    }

    /// The core's words.
    fn text(&self, wanted: Wanted) -> Result<String> {
        let is_window = ["conv", "depthwise"].contains(&self.name);
        let is_pool = ["maxpool", "avgpool"].contains(&self.name);
        ensure!(self.stride.is_none() || is_window, "stride belongs to conv and depthwise");
        ensure!(
            self.padding.is_none() || is_window || is_pool,
            "same, valid and padding belong to conv, depthwise, maxpool, avgpool"
        );
        ensure!(self.bias.is_none() || is_window || self.name == "dense", "bias belongs to conv, depthwise and dense");
        let padding = format!("padding={}", self.padding.unwrap_or("same"));
        let bias = format!("bias={}", self.bias.unwrap_or(true));
        let window = |kernel: &str| format!("kernel={kernel},stride={},{padding},{bias}", self.stride.unwrap_or("1"));
        Ok(match (self.name, &self.numbers[..]) {
            ("conv", [filters, kernel]) => format!("conv2d(filters={filters},{})", window(kernel)),
            ("depthwise", [kernel]) => {
                format!("depthwise_conv2d(multiplier={},{})", self.multiplier.unwrap_or("1"), window(kernel))
            }
            ("maxpool", [pool]) => format!("maxpool2d(pool={pool},{padding})"),
            ("avgpool", [pool]) => format!("avgpool2d(pool={pool},{padding})"),
            ("relu" | "relu6" | "flatten", []) => self.name.into(),
            ("relu", [threshold]) => format!("shifted_relu(hundredths={})", hundredths(threshold)?),
            ("dense", [units]) => format!("dense(units={units},{bias})"),
            ("dense", []) => {
                let classes = wanted.classes.context("the data have no labels: expected the number of units")?;
                format!("dense(units={classes},{bias})")
            }
            ("from" | "add", [layer]) => format!("{}(layer={layer})", self.name),
            _ => bail!(
                "expected conv FILTERS KERNEL, depthwise KERNEL, relu, relu6, maxpool SIZE, avgpool SIZE, flatten, dense UNITS, \
                 from LAYER or add LAYER"
            ),
        })
    }
}

/// A threshold in whole hundredths.
fn hundredths(threshold: &str) -> Result<u32> {
    let value: f64 = threshold.parse().with_context(|| format!("{threshold}: expected a threshold such as 0.1"))?;
    let hundredths = (100.0 * value).round();
    ensure!((100.0 * value - hundredths).abs() < 1e-6 && hundredths <= 255.0, "{threshold}: expected whole hundredths");
    Ok(hundredths as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: Wanted = Wanted { shape: Some([32, 32, 3]), classes: Some(7) };

    #[test]
    fn words_become_a_network() {
        for (words, core) in [
            (
                "conv 16 3x3 same bias, relu, maxpool 2, conv 8 5 stride 2 valid no bias, relu6, dense 20, relu, dense",
                "input(32,32,3) conv2d(filters=16,kernel=3) relu maxpool2d(pool=2) \
                 conv2d(filters=8,kernel=5,stride=2,padding=valid,bias=false) relu6 flatten dense(units=20) relu dense(units=7)",
            ),
            (
                "conv 4 3x3 stride 2 padding 1, relu, conv 4 5x3 padding 2x1, dense 3",
                "input(32,32,3) conv2d(filters=4,kernel=3,stride=2,padding=1) relu \
                 conv2d(filters=4,kernel=5x3,padding=2x1) flatten dense(units=3)",
            ),
            ("input 28x28x1, flatten, dense 10 no bias", "input(28,28,1) flatten dense(units=10,bias=false)"),
            (
                "input 32x32x1, depthwise 3x3 x2 stride 2x1, relu 0.1, avgpool 4x8 valid, dense 5",
                "input(32,32,1) depthwise_conv2d(multiplier=2,kernel=3,stride=2x1) shifted_relu(hundredths=10) \
                 avgpool2d(pool=4x8,padding=valid) flatten dense(units=5)",
            ),
            (
                "conv 3 3, relu, add 0, dense 2",
                "input(32,32,3) conv2d(filters=3,kernel=3) relu add(layer=0) flatten dense(units=2)",
            ),
            ("flatten dense(units=4)", "input(32,32,3) flatten dense(units=4)"),
            ("input(2,2,1) flatten dense(units=4)", "input(2,2,1) flatten dense(units=4)"),
        ] {
            let found = parse(words, DATA).unwrap_or_else(|error| panic!("{words}: {error:#}"));
            assert_eq!(found, core.parse().unwrap(), "{words}");
        }
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let message = |text: &str, wanted| format!("{:#}", parse(text, wanted).unwrap_err());
        for (text, expected) in [
            ("conv 16", "layer \"conv 16\": expected conv FILTERS KERNEL"),
            ("relu, tanh", "layer \"tanh\": expected conv"),
            ("conv 16 3x3 padded", "layer \"conv 16 3x3 padded\": \"padded\": expected a number, stride"),
            ("relu stride 2", "stride belongs to conv"),
            ("conv 16 3 padding", "a number behind padding"),
            ("relu,, dense 2", "layer \"\": expected a layer"),
            ("input 28x28, dense 2", "input 28x28: expected height x width x channels"),
            ("maxpool 2x3, dense 2", "layer 0"),
            ("relu 0.123, dense 2", "whole hundredths"),
            ("", "expected a layer"),
        ] {
            let found = message(text, DATA);
            assert!(found.contains(expected), "{text}: {found}");
        }
        assert!(message("dense 2", Wanted::default()).contains("expected input HxWxC first"));
        assert!(message("input 1x1x1, dense", Wanted::default()).contains("the data have no labels"));
    }
}
