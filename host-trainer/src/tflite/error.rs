//! What can be wrong with a `.tflite` file, and where in its graph.

use std::fmt::{self, Display, Formatter};

use super::element::ElementType;
use super::flatbuffer::Damage;
use super::schema::{IDENTIFIER, VERSION};

/// Most characters of a name that an error shows.
const MOST_SHOWN: usize = 60;
/// Most names in a list that an error shows.
const MOST_LISTED: usize = 12;

/// What is wrong, and where in the graph; the message says what was expected and what was found. The caller names the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Error {
    /// The operator concerned, if it is about one.
    pub operator: Option<Named>,
    /// The tensor concerned, if it is about one.
    pub tensor: Option<Named>,
    /// What is wrong.
    pub problem: Problem,
}

/// An operator or a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its index in the graph.
    pub index: usize,
    /// The schema's word for the operator, or the tensor's name.
    pub name: String,
}

/// What can be wrong.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The structure of the file is damaged.
    #[error(transparent)]
    Damage(#[from] Damage),
    /// The file is of another kind; the bytes in place of the identifier.
    #[error("expected the identifier \"{}\" of a TensorFlow Lite file at byte 4, found \"{}\"", IDENTIFIER.escape_ascii(), .0.escape_ascii())]
    Identifier([u8; 4]),
    /// The file is of another version.
    #[error("expected version {VERSION} of the schema, found {0}")]
    Version(u32),
    /// Something that every file has is left out.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// More of something than is read.
    #[error("expected at most {most} {what}, found {found}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        most: usize,
        /// The number found.
        found: usize,
    },
    /// Names and lists that share their bytes would fill more memory than a file of this size is granted.
    #[error(
        "expected at most {most} bytes of names and lists, as a file of this size may have, found more: many share their bytes"
    )]
    Shared {
        /// The limit in bytes.
        most: usize,
    },
    /// A number that the schema gives no meaning.
    #[error("{what}: expected a number that the schema knows, found {found}")]
    Code {
        /// The field.
        what: &'static str,
        /// The number found.
        found: i64,
    },
    /// A number out of its range.
    #[error("{what}: expected {expected}, found {found}")]
    Number {
        /// The field.
        what: &'static str,
        /// The range.
        expected: &'static str,
        /// The number found.
        found: i64,
    },
    /// An operator names a tensor that is not there.
    #[error("{what}: expected the index of one of {count} tensors, found {found}")]
    TensorIndex {
        /// The list that names it.
        what: &'static str,
        /// The index found.
        found: usize,
        /// Number of tensors.
        count: usize,
    },
    /// The options belong to another operator.
    #[error("expected options of type {expected}, found type {found}")]
    OptionsType {
        /// The number of the type in the schema.
        expected: u8,
        /// The number found.
        found: u8,
    },
    /// A constant whose bytes do not fill its shape.
    #[error("expected data for dimensions {shape:?} of {size} bytes an element, found {found} bytes")]
    DataLength {
        /// The tensor's dimensions.
        shape: Vec<usize>,
        /// Bytes of an element.
        size: usize,
        /// Bytes found.
        found: usize,
    },
    /// Operators that are not read: all of them.
    #[error("expected operators that midge has, found {}", list(.0))]
    Unsupported(Vec<Named>),
    /// More than one graph.
    #[error("expected one graph, found {0}")]
    Subgraphs(usize),
    /// A tensor that is more than a block of elements.
    #[error("expected a plain tensor, found one that {0}")]
    Peculiar(&'static str),
    /// Another number of inputs or outputs.
    #[error("expected {expected} {what}, found {found}")]
    Count {
        /// Inputs or outputs.
        what: &'static str,
        /// Their number, in words where it may differ.
        expected: &'static str,
        /// The number found.
        found: usize,
    },
    /// An input that is not optional is left out; its place.
    #[error("expected a tensor as input {0}, found none")]
    Absent(usize),
    /// The tensor is read before an operator has written it.
    #[error("expected a tensor that is written before it is read, found one that is not")]
    NotWritten,
    /// The tensor is written though it has its elements already; who has given them.
    #[error("expected a tensor that nothing else has written, found {0}")]
    Written(&'static str),
    /// The tensor has no elements in the file, and has to.
    #[error("expected a constant, found a tensor without data")]
    NotConstant,
    /// The tensor has its elements in the file, and should be computed.
    #[error("expected a tensor that is computed, found a constant")]
    Constant,
    /// Elements of another type.
    #[error("expected elements of type {expected}, found {found}")]
    Element {
        /// The type, or several in words.
        expected: &'static str,
        /// The type found.
        found: ElementType,
    },
    /// Other dimensions.
    #[error("expected dimensions {expected:?}, found {found:?}")]
    Shape {
        /// The dimensions that follow from the operator.
        expected: Vec<usize>,
        /// Those of the tensor.
        found: Vec<usize>,
    },
    /// Dimensions that an operator cannot take.
    #[error("expected dimensions {expected}, found {found:?}")]
    Dimensions {
        /// What they have to be.
        expected: &'static str,
        /// Those of the tensor.
        found: Vec<usize>,
    },
    /// A new shape that does not hold the elements.
    #[error("expected a new shape for {elements} elements, with at most one size of -1, found {found:?}")]
    NewShape {
        /// Elements of the input.
        elements: usize,
        /// The shape.
        found: Vec<i32>,
    },
    /// Options that are read, and not computed.
    #[error("{what}: expected {expected}, found {found}")]
    Option {
        /// The option.
        what: &'static str,
        /// What midge computes.
        expected: &'static str,
        /// What was found.
        found: String,
    },
    /// Another number of scales or zero points.
    #[error("expected {expected} {what}, found {found}")]
    Quantities {
        /// Scales or zero points.
        what: &'static str,
        /// Their number.
        expected: usize,
        /// The number found.
        found: usize,
    },
    /// A scale that is not positive, or not finite.
    #[error("expected positive and finite scales, found {0}")]
    Scale(f32),
    /// Another scale or zero point than follows from the operator.
    #[error("expected scale {} and zero point {}, found {found:?}", .expected.0, .expected.1)]
    OtherQuantisation {
        /// Scale and zero point.
        expected: (f32, i64),
        /// Those of the tensor, if it has one of each.
        found: Option<(f32, i64)>,
    },
}

impl Error {
    pub(super) fn at_operator(self, index: usize, name: &str) -> Self {
        Self { operator: Some(Named::new(index, name)), ..self }
    }

    pub(super) fn at_tensor(self, index: usize, name: &str) -> Self {
        Self { tensor: Some(Named::new(index, name)), ..self }
    }
}

impl Named {
    pub(super) fn new(index: usize, name: &str) -> Self {
        Self { index, name: name.to_string() }
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self { operator: None, tensor: None, problem }
    }
}

impl From<Damage> for Error {
    fn from(damage: Damage) -> Self {
        Problem::from(damage).into()
    }
}

impl std::error::Error for Error {}

impl Display for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(Named { index, name }) = &self.operator {
            write!(f, "operator {index} ({}): ", shown(name))?;
        }
        if let Some(Named { index, name }) = &self.tensor {
            write!(f, "tensor {index} (\"{}\"): ", shown(name))?;
        }
        self.problem.fmt(f)
    }
}

/// A name from the file on one line of a terminal: no control characters, and not without end.
fn shown(name: &str) -> String {
    let mut text: String = name.chars().take(MOST_SHOWN).flat_map(char::escape_debug).collect();
    if name.chars().nth(MOST_SHOWN).is_some() {
        text.push_str("...");
    }
    text
}

/// `SVDF (operators 1, 4), CUSTOM_A (operator 2)`
fn list(operators: &[Named]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for Named { name, .. } in operators {
        if !names.contains(&name.as_str()) && names.len() <= MOST_LISTED {
            names.push(name);
        }
    }
    let indices = |name: &str| {
        let all: Vec<_> = operators.iter().filter(|operator| operator.name == name).collect();
        let some: Vec<_> = all.iter().take(MOST_LISTED).map(|operator| operator.index.to_string()).collect();
        let more = if all.len() > some.len() { ", ..." } else { "" };
        format!("{} (operator{} {}{more})", shown(name), if all.len() == 1 { "" } else { "s" }, some.join(", "))
    };
    let some: Vec<_> = names.iter().take(MOST_LISTED).map(|name| indices(name)).collect();
    let more = if names.len() > some.len() { ", ..." } else { "" };
    format!("{}{more}", some.join(", "))
}
