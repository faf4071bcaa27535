//! The messages of an ONNX file, as far as a network needs them: model, graph, nodes, tensors.

use std::path::{Component, Path};

use half::{bf16, f16};

use super::error::OnnxError;
use super::wire::{Content, Fields};

/// Most nodes, tensors, inputs and outputs of a graph.
const MOST: usize = 1 << 14;
/// Most dimensions of a tensor.
const MOST_DIMENSIONS: usize = 8;

/// A graph and the version of its operators.
#[derive(Debug, Default)]
pub(super) struct Model<'b> {
    pub opset: i64,
    pub nodes: Vec<Node<'b>>,
    pub constants: Vec<TensorProto<'b>>,
    pub inputs: Vec<Input<'b>>,
    pub outputs: Vec<&'b str>,
    has_graph: bool,
}

/// An input of the graph: dimensions, `None` where they are open.
#[derive(Debug, Default)]
pub(super) struct Input<'b> {
    pub name: &'b str,
    pub dimensions: Vec<Option<usize>>,
}

/// An operator.
#[derive(Debug, Default, Clone)]
pub(super) struct Node<'b> {
    pub name: &'b str,
    pub operator: &'b str,
    pub domain: &'b str,
    pub inputs: Vec<&'b str>,
    pub outputs: Vec<&'b str>,
    attributes: Vec<&'b [u8]>,
}

/// Numbers, still packed.
#[derive(Debug, Default, Clone)]
pub(super) struct TensorProto<'b> {
    pub name: &'b str,
    fields: &'b [u8],
}

/// The numbers of a tensor.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Numbers {
    Floats(Vec<f32>),
    Integers(Vec<i64>),
}

/// A tensor whose numbers are known.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Constant {
    pub shape: Vec<usize>,
    pub numbers: Numbers,
}

fn limit<T>(list: &[T], what: &'static str) -> Result<(), OnnxError> {
    if list.len() > MOST { Err(OnnxError::Many { what, most: MOST }) } else { Ok(()) }
}

impl<'b> Model<'b> {
    /// Reads the messages of a file.
    pub(super) fn read(bytes: &'b [u8]) -> Result<Self, OnnxError> {
        let mut model = Self::default();
        for field in Fields(bytes) {
            match field? {
                (7, graph) => model.graph(graph.bytes())?,
                (8, opset) => {
                    let (mut domain, mut version) = ("", 0);
                    for field in Fields(opset.bytes()) {
                        match field? {
                            (1, content) => domain = content.text(),
                            (2, content) => version = content.integer(),
                            _ => {}
                        }
                    }
                    if matches!(domain, "" | "ai.onnx") {
                        model.opset = version;
                    }
                }
                _ => {}
            }
        }
        if model.has_graph { Ok(model) } else { Err(OnnxError::NoGraph) }
    }

    fn graph(&mut self, bytes: &'b [u8]) -> Result<(), OnnxError> {
        self.has_graph = true;
        for field in Fields(bytes) {
            match field? {
                (1, node) => self.nodes.push(Node::read(node.bytes())?),
                (5, tensor) => self.constants.push(TensorProto::read(tensor.bytes())?),
                (11, input) => self.inputs.push(Input::read(input.bytes())?),
                (12, output) => self.outputs.push(Input::read(output.bytes())?.name),
                _ => {}
            }
            limit(&self.nodes, "nodes")?;
            limit(&self.constants, "tensors")?;
            limit(&self.inputs, "inputs")?;
            limit(&self.outputs, "outputs")?;
        }
        Ok(())
    }
}

impl<'b> Input<'b> {
    fn read(bytes: &'b [u8]) -> Result<Self, OnnxError> {
        let mut input = Self::default();
        for field in Fields(bytes) {
            match field? {
                (1, name) => input.name = name.text(),
                // Type, tensor type, shape, dimension.
                (2, kind) => {
                    for shape in inside(kind.bytes(), 1).into_iter().flat_map(|tensor| inside(tensor, 2)) {
                        for dimension in inside(shape, 1).into_iter().take(MOST_DIMENSIONS + 1) {
                            let value = Fields(dimension).flatten().find(|(number, _)| *number == 1);
                            let value = value.and_then(|(_, content)| usize::try_from(content.integer()).ok());
                            input.dimensions.push(value.filter(|value| *value > 0));
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(input)
    }
}

/// The messages in a field of another one.
fn inside(bytes: &[u8], number: u64) -> Vec<&[u8]> {
    Fields(bytes).flatten().filter(|field| field.0 == number).map(|(_, content)| content.bytes()).collect()
}

impl<'b> Node<'b> {
    fn read(bytes: &'b [u8]) -> Result<Self, OnnxError> {
        let mut node = Self::default();
        for field in Fields(bytes) {
            match field? {
                (1, name) => node.inputs.push(name.text()),
                (2, name) => node.outputs.push(name.text()),
                (3, name) => node.name = name.text(),
                (4, operator) => node.operator = operator.text(),
                (5, attribute) => node.attributes.push(attribute.bytes()),
                (7, domain) => node.domain = domain.text(),
                _ => {}
            }
        }
        Ok(node)
    }

    /// What messages call it: its name or that of its output.
    pub(super) fn title(&self) -> &'b str {
        if self.name.is_empty() { self.outputs.first().copied().unwrap_or("a node without a name") } else { self.name }
    }

    fn attribute(&self, name: &str, number: u64) -> impl Iterator<Item = Content<'b>> {
        let is_it = move |bytes: &&&'b [u8]| {
            Fields(bytes).flatten().any(|(number, content)| number == 1 && content.text() == name)
        };
        let found = self.attributes.iter().find(is_it).copied().unwrap_or(&[]);
        Fields(found).flatten().filter(move |field| field.0 == number).map(|(_, content)| content)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.attribute(name, 1).next().is_some()
    }

    pub(super) fn float(&self, name: &str) -> Option<f32> {
        match self.attribute(name, 2).last()? {
            Content::Fixed32(bytes) => Some(f32::from_le_bytes(bytes)),
            _ => None,
        }
    }

    pub(super) fn integer(&self, name: &str) -> Option<i64> {
        Some(self.attribute(name, 3).last()?.integer())
    }

    pub(super) fn text(&self, name: &str) -> &'b str {
        self.attribute(name, 4).last().map_or("", Content::text)
    }

    pub(super) fn tensor(&self, name: &str) -> Option<TensorProto<'b>> {
        TensorProto::read(self.attribute(name, 5).last()?.bytes()).ok()
    }

    pub(super) fn floats(&self, name: &str) -> Vec<f32> {
        let mut floats = Vec::new();
        self.attribute(name, 7).for_each(|content| content.floats(&mut floats));
        floats
    }

    pub(super) fn integers(&self, name: &str) -> Result<Vec<i64>, OnnxError> {
        let mut integers = Vec::new();
        self.attribute(name, 8).try_for_each(|content| content.integers(&mut integers))?;
        Ok(integers)
    }
}

impl<'b> TensorProto<'b> {
    fn read(fields: &'b [u8]) -> Result<Self, OnnxError> {
        let mut name = "";
        for field in Fields(fields) {
            if let (8, content) = field? {
                name = content.text();
            }
        }
        Ok(Self { name, fields })
    }

    fn wrong(&self, problem: String) -> OnnxError {
        OnnxError::Tensor { tensor: self.name.to_string(), problem }
    }

    /// The numbers, of which those in another file lie in `folder`.
    pub(super) fn constant(&self, folder: Option<&Path>) -> Result<Constant, OnnxError> {
        let mut parts = Parts::default();
        for field in Fields(self.fields) {
            parts.add(field?)?;
        }
        let shape = parts.shape().ok_or_else(|| self.wrong(format!("dimensions {:?} are none", parts.dimensions)))?;
        let external;
        if parts.is_external {
            external = self.external(folder)?;
            parts.raw = Some(&external);
        }
        let kind = parts.kind;
        let numbers = parts.numbers().ok_or_else(|| {
            self.wrong(format!("expected floats or integers of 32 or 64 bits, found type {kind} of ONNX"))
        })?;
        let (constant, count) = (Constant { shape, numbers }, parts.count);
        if count == constant.len() {
            return Ok(constant);
        }
        let Constant { shape, .. } = &constant;
        Err(self.wrong(format!("expected {count} numbers for {shape:?}, found {}", constant.len())))
    }

    /// The bytes of another file beside the model's.
    fn external(&self, folder: Option<&Path>) -> Result<Vec<u8>, OnnxError> {
        let (mut location, mut offset, mut length) = ("", 0u64, None);
        for entry in inside(self.fields, 13) {
            let entry: Vec<(u64, Content<'_>)> = Fields(entry).flatten().collect();
            let of = |number| entry.iter().find(|field| field.0 == number).map_or("", |field| field.1.text());
            match of(1) {
                "location" => location = of(2),
                "offset" => offset = of(2).parse().unwrap_or(u64::MAX),
                "length" => length = of(2).parse::<u64>().ok(),
                _ => {}
            }
        }
        let missing = |reason: String| OnnxError::External {
            tensor: self.name.to_string(),
            location: location.to_string(),
            reason,
        };
        let folder = folder.ok_or_else(|| missing("and the model came without a folder".into()))?;
        let is_beside = Path::new(location).components().all(|part| matches!(part, Component::Normal(_)));
        if !is_beside || location.is_empty() {
            return Err(missing("which is not in the folder of the model".into()));
        }
        let read = || {
            use std::io::{Read, Seek, SeekFrom};
            let mut file = std::fs::File::open(folder.join(location))?;
            let most = file.metadata()?.len().saturating_sub(offset);
            file.seek(SeekFrom::Start(offset))?;
            let mut bytes = Vec::new();
            file.take(length.unwrap_or(most).min(most)).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        read().map_err(|error: std::io::Error| missing(format!("which cannot be read: {error}")))
    }
}

/// The fields of a tensor.
#[derive(Debug, Default)]
struct Parts<'t> {
    dimensions: Vec<i64>,
    /// Their product.
    count: usize,
    kind: i64,
    is_external: bool,
    raw: Option<&'t [u8]>,
    floats: Vec<f32>,
    doubles: Vec<f64>,
    integers: Vec<i64>,
}

impl<'t> Parts<'t> {
    fn add(&mut self, (number, content): (u64, Content<'t>)) -> Result<(), OnnxError> {
        match number {
            1 => content.integers(&mut self.dimensions)?,
            2 => self.kind = content.integer(),
            4 => content.floats(&mut self.floats),
            5 | 7 => content.integers(&mut self.integers)?,
            9 => self.raw = Some(content.bytes()),
            10 => content.doubles(&mut self.doubles),
            14 => self.is_external = content.integer() == 1,
            _ => {}
        }
        Ok(())
    }

    fn shape(&mut self) -> Option<Vec<usize>> {
        if self.dimensions.len() > MOST_DIMENSIONS {
            return None;
        }
        let shape: Vec<usize> = self.dimensions.iter().map(|n| usize::try_from(*n).ok()).collect::<Option<_>>()?;
        self.count = shape.iter().try_fold(1usize, |product, n| product.checked_mul(*n))?;
        Some(shape)
    }

    /// By the numbers that ONNX has for types of elements; `None` for other types.
    fn numbers(&mut self) -> Option<Numbers> {
        let half = |bits: &i64| f16::from_bits(*bits as u16).to_f32();
        let brain = |bits: &i64| bf16::from_bits(*bits as u16).to_f32();
        Some(match (self.kind, self.raw) {
            (1, Some(raw)) => Numbers::Floats(collect(raw, f32::from_le_bytes)),
            (1, None) => Numbers::Floats(std::mem::take(&mut self.floats)),
            (11, Some(raw)) => Numbers::Floats(collect(raw, |b| f64::from_le_bytes(b) as f32)),
            (11, None) => Numbers::Floats(self.doubles.iter().map(|x| *x as f32).collect()),
            (10, Some(raw)) => Numbers::Floats(collect(raw, |b| f16::from_le_bytes(b).to_f32())),
            (10, None) => Numbers::Floats(self.integers.iter().map(half).collect()),
            (16, Some(raw)) => Numbers::Floats(collect(raw, |b| bf16::from_le_bytes(b).to_f32())),
            (16, None) => Numbers::Floats(self.integers.iter().map(brain).collect()),
            (7, Some(raw)) => Numbers::Integers(collect(raw, i64::from_le_bytes)),
            (6, Some(raw)) => Numbers::Integers(collect(raw, |b| i64::from(i32::from_le_bytes(b)))),
            (9, Some(raw)) => Numbers::Integers(raw.iter().map(|byte| i64::from(*byte)).collect()),
            (6 | 7 | 9, None) => Numbers::Integers(std::mem::take(&mut self.integers)),
            _ => return None,
        })
    }
}

fn collect<const N: usize, T>(raw: &[u8], number: impl Fn([u8; N]) -> T) -> Vec<T> {
    raw.chunks_exact(N).filter_map(|chunk| chunk.first_chunk().copied()).map(number).collect()
}

impl Constant {
    pub(super) fn len(&self) -> usize {
        match &self.numbers {
            Numbers::Floats(numbers) => numbers.len(),
            Numbers::Integers(numbers) => numbers.len(),
        }
    }

    pub(super) fn floats(&self) -> Vec<f32> {
        match &self.numbers {
            Numbers::Floats(numbers) => numbers.clone(),
            Numbers::Integers(numbers) => numbers.iter().map(|n| *n as f32).collect(),
        }
    }

    pub(super) fn integers(&self) -> Vec<i64> {
        match &self.numbers {
            Numbers::Floats(numbers) => numbers.iter().map(|n| *n as i64).collect(),
            Numbers::Integers(numbers) => numbers.clone(),
        }
    }
}
