//! A network as one line of text, as it stands in a model file and on a command line.
//!
//! ```text
//! input(28,28,1) conv2d(filters=32,kernel=3,stride=1,padding=same,bias=false) relu maxpool2d(pool=2,padding=same)
//! flatten dense(units=10,bias=true)
//! ```
//! One word per layer, separated by single spaces. `stride=1`, `padding=same` and `bias=true` may be left out.

use core::fmt::{self, Display, Formatter};
use core::str::FromStr;

use crate::network::{Layer, MAX_LAYERS, Network, NetworkError, Padding, Shape};

/// Why a text is not a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParseError {
    /// The text does not start with `input(height,width,channels)`.
    Input,
    /// Not a layer, or a wrong, missing or repeated argument.
    Layer {
        /// Index of the layer.
        layer: usize,
    },
    /// The layers do not fit together.
    Network(NetworkError),
}

impl Display for ParseError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input => f.write_str("expected the text to start with input(height,width,channels)"),
            Self::Layer { layer } => write!(
                f,
                "layer {layer}: expected conv2d(filters=..,kernel=..,stride=..,padding=same|valid,bias=true|false), \
                 relu, maxpool2d(pool=..,padding=..), flatten or dense(units=..,bias=..)"
            ),
            Self::Network(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ParseError {}

impl Display for Layer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conv2d { filters, kernel, stride, padding, bias } => {
                write!(f, "conv2d(filters={filters},kernel={kernel},stride={stride},padding={padding},bias={bias})")
            }
            Self::Relu => f.write_str("relu"),
            Self::MaxPool2d { pool, padding } => write!(f, "maxpool2d(pool={pool},padding={padding})"),
            Self::Flatten => f.write_str("flatten"),
            Self::Dense { units, bias } => write!(f, "dense(units={units},bias={bias})"),
        }
    }
}

impl Display for Padding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Same => "same",
            Self::Valid => "valid",
        })
    }
}

impl Display for Network {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Shape { height, width, channels } = self.input();
        write!(f, "input({height},{width},{channels})")?;
        self.layers().iter().try_for_each(|layer| write!(f, " {layer}"))
    }
}

impl FromStr for Network {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (input, words) = read(text)?;
        let mut layers: heapless::Vec<Layer, MAX_LAYERS> = heapless::Vec::new();
        for layer in words {
            layers.push(layer?).map_err(|_| ParseError::Network(NetworkError::TooManyLayers))?;
        }
        Network::try_new(input, &layers).map_err(ParseError::Network)
    }
}

impl Network {
    /// Whether `text` is this network. Unlike parsing it, this needs hardly any stack.
    pub(crate) fn is_written_as(&self, text: &str) -> Result<bool, ParseError> {
        let (input, words) = read(text)?;
        let mut own = self.layers().iter();
        let mut same = input == self.input();
        for layer in words {
            same &= own.next() == Some(&layer?);
        }
        Ok(same && own.next().is_none())
    }
}

/// The input's shape and the layers of a text.
fn read(text: &str) -> Result<(Shape, impl Iterator<Item = Result<Layer, ParseError>>), ParseError> {
    let mut words = split(text, b' ');
    let input = words.next().and_then(parse_input).ok_or(ParseError::Input)?;
    Ok((input, words.enumerate().map(|(layer, word)| parse_layer(word).ok_or(ParseError::Layer { layer }))))
}

/// The parts of a text between separators. (The standard library's has checks that can panic in theory.)
fn split(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    core::iter::from_fn(move || {
        let text = rest?;
        let end = text.bytes().position(|byte| byte == separator);
        rest = end.and_then(|end| text.get(end + 1..));
        text.get(..end.unwrap_or(text.len()))
    })
}

fn parse_input(word: &str) -> Option<Shape> {
    let sizes = word.strip_prefix("input(")?.strip_suffix(')')?;
    let mut sizes = split(sizes, b',').map(str::parse);
    let shape = Shape::hwc(sizes.next()?.ok()?, sizes.next()?.ok()?, sizes.next()?.ok()?);
    sizes.next().is_none().then_some(shape)
}

/// The arguments that a layer can have.
#[derive(Default)]
struct Arguments {
    /// `filters` or `units`.
    count: Option<usize>,
    /// `kernel` or `pool`.
    window: Option<usize>,
    stride: Option<usize>,
    padding: Option<Padding>,
    bias: Option<bool>,
}

fn parse_layer(word: &str) -> Option<Layer> {
    let (name, arguments) = match word.split_once('(') {
        Some((name, rest)) => (name, rest.strip_suffix(')')?),
        None => (word, ""),
    };
    let arguments = parse_arguments(name, arguments)?;
    let padding = arguments.padding.unwrap_or(Padding::Same);
    let bias = arguments.bias.unwrap_or(true);
    match name {
        "relu" => Some(Layer::Relu),
        "flatten" => Some(Layer::Flatten),
        "maxpool2d" => Some(Layer::MaxPool2d { pool: arguments.window?, padding }),
        "dense" => Some(Layer::Dense { units: arguments.count?, bias }),
        "conv2d" => Some(Layer::Conv2d {
            filters: arguments.count?,
            kernel: arguments.window?,
            stride: arguments.stride.unwrap_or(1),
            padding,
            bias,
        }),
        _ => None,
    }
}

fn parse_arguments(layer: &str, text: &str) -> Option<Arguments> {
    let mut arguments = Arguments::default();
    for argument in split(text, b',').filter(|argument| !argument.is_empty()) {
        let (key, value) = argument.split_once('=')?;
        match (layer, key) {
            ("conv2d", "filters") | ("dense", "units") => set(&mut arguments.count, value.parse().ok())?,
            ("conv2d", "kernel") | ("maxpool2d", "pool") => set(&mut arguments.window, value.parse().ok())?,
            ("conv2d", "stride") => set(&mut arguments.stride, value.parse().ok())?,
            ("conv2d" | "maxpool2d", "padding") => set(&mut arguments.padding, parse_padding(value))?,
            ("conv2d" | "dense", "bias") => set(&mut arguments.bias, value.parse().ok())?,
            _ => return None,
        }
    }
    Some(arguments)
}

fn parse_padding(value: &str) -> Option<Padding> {
    match value {
        "same" => Some(Padding::Same),
        "valid" => Some(Padding::Valid),
        _ => None,
    }
}

/// Sets an argument that was not set before.
fn set<T>(slot: &mut Option<T>, value: Option<T>) -> Option<()> {
    if slot.is_some() {
        return None;
    }
    *slot = Some(value?);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::MNIST_CNN;
    use std::string::ToString;

    #[test]
    fn a_network_survives_its_text() {
        let text = MNIST_CNN.to_string();
        assert!(text.starts_with("input(28,28,1) conv2d(filters=32,kernel=3,stride=1,padding=same,bias=false) relu"));
        assert_eq!(text.parse::<Network>().unwrap(), MNIST_CNN);
    }

    #[test]
    fn mistakes_are_placed() {
        for (text, error) in [
            ("", ParseError::Input),
            ("input(28,28) flatten", ParseError::Input),
            ("input(28,28,1,1) flatten", ParseError::Input),
            ("input(28,28,1)  flatten", ParseError::Layer { layer: 0 }),
            ("input(28,28,1) flatten dense", ParseError::Layer { layer: 1 }),
            ("input(28,28,1) flatten dense(units=2,units=3)", ParseError::Layer { layer: 1 }),
            ("input(28,28,1) flatten dense(units=-2)", ParseError::Layer { layer: 1 }),
            ("input(28,28,1) flatten dense(kernel=2)", ParseError::Layer { layer: 1 }),
            ("input(28,28,1) flatten dense(units=2", ParseError::Layer { layer: 1 }),
            ("input(28,28,1) dense(units=2)", ParseError::Network(NetworkError::Order { layer: 0 })),
        ] {
            assert_eq!(text.parse::<Network>().err(), Some(error), "{text}");
        }
    }
}
