//! From the bytes of a `.tflite` file to its graph.

use std::borrow::Cow;

use super::copies::Copies;
use super::element::ElementType;
use super::error::{Error, Problem};
use super::flatbuffer::{self, Field, Table, Tables};
use super::graph::{Graph, Kind, Operator, Peculiarity, Quantisation, Tensor};
use super::options;
use super::schema::{
    ABSENT, Buffer, CUSTOM, IDENTIFIER, Model, Operator as OperatorTable, OperatorCode, QuantizationParameters,
    SubGraph, Tensor as TensorTable, VERSION, operator_name,
};

/// Most tensors of a graph.
pub const MAX_TENSORS: usize = 1 << 14;
/// Most operators of a graph.
pub const MAX_OPERATORS: usize = 1 << 12;
/// Most dimensions of a tensor.
pub const MAX_DIMENSIONS: usize = 8;
/// Most elements of a tensor: runtimes count them in 32 bits.
pub const MAX_ELEMENTS: usize = i32::MAX as usize;
/// Most scales of a tensor, and most zero points.
pub const MAX_SCALES: usize = 1 << 16;

/// Reads the first graph of a `.tflite` file. Tensors with data borrow it from `bytes`, at any address.
///
/// The time this takes and the memory that it needs are in proportion to the file, whatever the file claims, plus what a
/// graph of the most tensors and operators needs (a few megabytes). The indices in the graph are those of tensors, and
/// constants fill their shapes; for the rest see [`check`](super::check).
///
/// # Errors
/// What was expected and what was found, with the operator or the tensor. The caller names the file.
pub fn read(bytes: &[u8]) -> Result<Graph<'_>, Error> {
    let identifier = flatbuffer::identifier(bytes)?;
    if identifier != IDENTIFIER {
        return Err(Problem::Identifier(identifier).into());
    }
    let model = Table::root(bytes, "Model")?;
    match model.number(Model::version, 0)? {
        VERSION => {}
        other => return Err(Problem::Version(other).into()),
    }
    let subgraphs = required(model.tables(Model::subgraphs)?, Model::subgraphs)?;
    if subgraphs.len() == 0 {
        return Err(Problem::Subgraphs(0).into());
    }
    let reader = Reader {
        buffers: required(model.tables(Model::buffers)?, Model::buffers)?,
        codes: model.tables(Model::operator_codes)?,
        copies: Copies::of(bytes.len()),
    };
    let graph = Graph { subgraphs: subgraphs.len(), ..reader.graph(subgraphs.get(0)?)? };
    graph.check_indices()?;
    Ok(graph)
}

fn required<T>(part: Option<T>, field: Field) -> Result<T, Problem> {
    part.ok_or(Problem::Missing(field.name))
}

pub(super) fn at_most(most: usize, what: &'static str, found: usize) -> Result<usize, Problem> {
    if found > most { Err(Problem::TooMany { what, most, found }) } else { Ok(found) }
}

/// A number that counts or places something.
fn natural(what: &'static str, found: i32) -> Result<usize, Problem> {
    usize::try_from(found).map_err(|_| Problem::Number { what, expected: "at least 0", found: found.into() })
}

/// What the parts of a graph refer to.
struct Reader<'a> {
    buffers: Tables<'a>,
    codes: Option<Tables<'a>>,
    copies: Copies,
}

impl<'a> Reader<'a> {
    fn graph(&self, graph: Table<'a>) -> Result<Graph<'a>, Error> {
        let tables = required(graph.tables(SubGraph::tensors)?, SubGraph::tensors)?;
        let mut tensors = Vec::new();
        for index in 0..at_most(MAX_TENSORS, "tensors", tables.len())? {
            let table = tables.get(index).map_err(|damage| Error::from(damage).at_tensor(index, ""))?;
            let name = self
                .copies
                .text(table, TensorTable::name)
                .map_err(|problem| Error::from(problem).at_tensor(index, ""))?;
            let tensor = self.tensor(table, name.clone());
            tensors.push(tensor.map_err(|problem| Error::from(problem).at_tensor(index, &name))?);
        }
        let tables = required(graph.tables(SubGraph::operators)?, SubGraph::operators)?;
        let mut operators = Vec::new();
        for index in 0..at_most(MAX_OPERATORS, "operators", tables.len())? {
            operators.push(self.operator(tables, index)?);
        }
        let indices = |field: Field| {
            let all = self.copies.list::<i32>(graph, field)?.into_iter();
            all.map(|index| natural(field.name, index)).collect::<Result<Vec<_>, Problem>>()
        };
        let (inputs, outputs) = (indices(SubGraph::inputs)?, indices(SubGraph::outputs)?);
        Ok(Graph { tensors, operators, inputs, outputs, subgraphs: 1 })
    }

    fn tensor(&self, table: Table<'a>, name: Cow<'a, str>) -> Result<Tensor<'a>, Problem> {
        let dimensions = self.copies.list::<i32>(table, TensorTable::shape)?;
        at_most(MAX_DIMENSIONS, "dimensions", dimensions.len())?;
        let sizes = dimensions.iter().map(|size| natural(TensorTable::shape.name, *size));
        let code = table.number(TensorTable::type_, 0)?;
        let unknown = Problem::Code { what: TensorTable::type_.name, found: i64::from(code) };
        let (quantisation, is_other) = self.quantisation(table)?;
        let (data, is_external) = self.data(table)?;
        let peculiarities = [
            (table.number(TensorTable::is_variable, false)?, Peculiarity::Variable),
            (table.has(TensorTable::sparsity)?, Peculiarity::Sparse),
            (is_external, Peculiarity::External),
            (is_other, Peculiarity::OtherQuantisation),
        ];
        let peculiarity = peculiarities.into_iter().find(|(is, _)| *is).map(|(_, peculiarity)| peculiarity);
        let tensor = Tensor {
            name,
            shape: sizes.collect::<Result<_, Problem>>()?,
            element: ElementType::from_code(code).ok_or(unknown)?,
            quantisation,
            data: data.map(Cow::Borrowed),
            peculiarity,
        };
        at_most(MAX_ELEMENTS, "elements", tensor.elements().unwrap_or(usize::MAX))?;
        if peculiarity != Some(Peculiarity::Sparse) {
            tensor.check_data()?;
        }
        Ok(tensor)
    }

    /// The quantisation, and whether another rule takes its place.
    fn quantisation(&self, table: Table<'a>) -> Result<(Quantisation, bool), Problem> {
        let Some(table) = table.table(TensorTable::quantization)? else { return Ok((Quantisation::default(), false)) };
        let dimension = QuantizationParameters::quantized_dimension;
        let quantisation = Quantisation {
            scales: self.copies.list(table, QuantizationParameters::scale)?,
            zero_points: self.copies.list(table, QuantizationParameters::zero_point)?,
            dimension: natural(dimension.name, table.number(dimension, 0)?)?,
        };
        at_most(MAX_SCALES, "scales", quantisation.scales.len())?;
        at_most(MAX_SCALES, "zero points", quantisation.zero_points.len())?;
        Ok((quantisation, table.number(QuantizationParameters::details_type, 0u8)? != 0))
    }

    /// The bytes of a constant, and whether they are elsewhere. A buffer without bytes is that of a tensor to be computed.
    fn data(&self, table: Table<'a>) -> Result<(Option<&'a [u8]>, bool), Problem> {
        let index: u32 = table.number(TensorTable::buffer, 0)?;
        let buffer = self.buffers.get(index as usize)?;
        let data = buffer.vector::<u8>(Buffer::data)?.map(|data| data.bytes()).filter(|data| !data.is_empty());
        // 0 and 1 stand for "not there".
        let is_behind = buffer.number(Buffer::offset, 0u64)? > 1 || buffer.number(Buffer::size, 0u64)? > 1;
        let is_external = table.number(TensorTable::external_buffer, 0u32)? != 0;
        Ok((data, is_behind || is_external))
    }

    fn operator(&self, tables: Tables<'a>, index: usize) -> Result<Operator, Error> {
        let nameless = |problem: Problem| Error::from(problem).at_operator(index, "");
        let table = tables.get(index).map_err(|damage| nameless(damage.into()))?;
        let code = self.code(table).map_err(nameless)?;
        let read = || -> Result<Operator, Problem> {
            let inputs = self.copies.list::<i32>(table, OperatorTable::inputs)?.into_iter();
            let outputs = self.copies.list::<i32>(table, OperatorTable::outputs)?.into_iter();
            let optional = |index| if index == ABSENT { Ok(None) } else { natural("inputs", index).map(Some) };
            let builtin = if code.is_custom { None } else { options::read(&self.copies, table, &code.name)? };
            Ok(Operator {
                kind: builtin.unwrap_or_else(|| Kind::Unsupported(code.name.to_string())),
                version: code.version,
                inputs: inputs.map(optional).collect::<Result<_, _>>()?,
                outputs: outputs.map(|index| natural("outputs", index)).collect::<Result<_, _>>()?,
            })
        };
        read().map_err(|problem| Error::from(problem).at_operator(index, &code.name))
    }

    fn code(&self, operator: Table<'a>) -> Result<Code<'a>, Problem> {
        let index: u32 = operator.number(OperatorTable::opcode_index, 0)?;
        let table = required(self.codes, Model::operator_codes)?.get(index as usize)?;
        // Files from before operator 127 have the old field only.
        let old: i8 = table.number(OperatorCode::deprecated_builtin_code, 0)?;
        let number = table.number(OperatorCode::builtin_code, 0)?.max(i32::from(old));
        let is_custom = number == CUSTOM;
        let custom = if is_custom { self.copies.text(table, OperatorCode::custom_code)? } else { Cow::default() };
        let name = match operator_name(number) {
            Some(_) if !custom.is_empty() => custom,
            Some(name) => Cow::Borrowed(name),
            // Of a newer version of the schema.
            None => Cow::Owned(format!("number {number}")),
        };
        Ok(Code { name, is_custom, version: table.number(OperatorCode::version, 1)? })
    }
}

/// What kind of operator one is.
struct Code<'a> {
    /// The schema's word, or the name of a custom operator, which may be such a word too.
    name: Cow<'a, str>,
    is_custom: bool,
    version: i32,
}
