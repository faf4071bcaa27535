//! What the reader takes, and what it says of other files.

use super::sample::{Sample, code, operator, quantised, tensor};
use crate::tflite::builder::{Node, Value};
use crate::tflite::copies::MOST_SHARED;
use crate::tflite::flatbuffer::Field;
use crate::tflite::schema::{
    IDENTIFIER, Model, Operator as OperatorTable, OperatorCode, QuantizationParameters, SubGraph, Tensor as TensorTable,
};
use crate::tflite::{
    Activation, Conv2d, Damage, ElementType, Error, Graph, Kind, MAX_OPERATORS, MAX_SCALES, MAX_TENSORS, Padding,
    Peculiarity, Pool2d, Problem, Quantisation, read,
};

fn error(file: &[u8]) -> Error {
    read(file).unwrap_err()
}

#[test]
fn a_model_is_read_as_it_was_made() {
    let file = Sample::new().file();
    let graph = read(&file).unwrap();
    assert_eq!((&graph.inputs[..], &graph.outputs[..], graph.subgraphs), (&[0][..], &[9][..], 1));
    let names: Vec<_> = graph.operators.iter().map(|operator| (operator.kind.name(), operator.version)).collect();
    let expected = [("CONV_2D", 3), ("MAX_POOL_2D", 2), ("RESHAPE", 1), ("FULLY_CONNECTED", 4), ("SOFTMAX", 2)];
    assert_eq!(names, expected);
    let (padding, activation) = (Padding::Same, Activation::Relu);
    let conv = Conv2d { padding, stride: [1, 1], dilation: [1, 1], activation };
    assert_eq!(graph.operators[0].kind, Kind::Conv2d(conv));
    let (padding, activation) = (Padding::Valid, Activation::None);
    let pool = Pool2d { padding, stride: [2, 2], filter: [2, 2], activation };
    assert_eq!(graph.operators[1].kind, Kind::MaxPool2d(pool));
    assert_eq!(graph.operators[2].kind, Kind::Reshape(None));
    assert_eq!(graph.operators[4].kind, Kind::Softmax { beta: 1.0 });
    assert_eq!(graph.operators[0].inputs, [Some(0), Some(1), Some(2)]);
    assert_eq!(
        (&graph.operators[3].inputs[..], &graph.operators[3].outputs[..]),
        (&[Some(6), Some(7), None][..], &[8][..])
    );
    let filter = &graph.tensors[1];
    assert_eq!((&*filter.name, &filter.shape[..], filter.element), ("filter", &[2, 3, 3, 1][..], ElementType::I8));
    let quantisation = Quantisation { scales: vec![0.5, 0.25], zero_points: vec![0, 0], dimension: 0 };
    assert_eq!(filter.quantisation, quantisation);
    assert_eq!((filter.i8s().unwrap()[8], filter.i8s().unwrap()[9]), (9, -1));
    assert_eq!(graph.tensors[2].i32s().unwrap(), [1, -1]);
    assert_eq!(graph.tensors[0].quantisation.whole(), Some((1.0 / 255.0, -128)));
    assert_eq!((&graph.tensors[0].data, graph.tensors[0].peculiarity), (&None, None));
    assert!(matches!(filter.i32s(), Err(Problem::Element { expected: "INT32", found: ElementType::I8 })));
    assert_eq!(graph.tensors[0].i8s(), Err(Problem::NotConstant));
}

#[test]
fn the_larger_code_counts() {
    let mut sample = Sample::new();
    // From before operator 127, and behind it.
    sample.codes[0] = Node::default().with(OperatorCode::deprecated_builtin_code, Value::I8(3));
    sample.codes[1] = code(127, 1).with(OperatorCode::builtin_code, Value::I32(150));
    sample.codes[2] = code(127, 1).with(OperatorCode::builtin_code, Value::I32(300));
    sample.codes[3] = code(32, 1).with(OperatorCode::custom_code, Value::Text("SOFTMAX"));
    sample.codes[4] = code(32, 1);
    let file = sample.file();
    let graph = read(&file).unwrap();
    assert_eq!((graph.operators[0].kind.name(), graph.operators[0].version), ("CONV_2D", 1));
    // A custom operator is one whatever its name.
    assert_eq!(graph.unsupported(), [(1, "GELU"), (2, "number 300"), (3, "SOFTMAX"), (4, "CUSTOM")]);
}

#[test]
fn what_is_no_model_is_named() {
    let sample = Sample::new();
    assert_eq!(error(&sample.root().to_file(*b"TFL2")).problem, Problem::Identifier(*b"TFL2"));
    assert!(matches!(error(b"").problem, Problem::Damage(Damage::Outside { what: "file identifier", .. })));
    let with = |field, value| error(&sample.root().with(field, value).to_file(IDENTIFIER)).problem;
    assert_eq!(with(Model::version, Value::U32(2)), Problem::Version(2));
    assert_eq!(with(Model::subgraphs, Value::Tables(vec![])), Problem::Subgraphs(0));
    assert_eq!(
        with(Model::buffers, Value::Tables(vec![])),
        Problem::Damage(Damage::Index { what: "Model.buffers", index: 0, len: 0 })
    );
    assert_eq!(error(&sample.model.to_file(IDENTIFIER)).problem, Problem::Missing("Model.subgraphs"));
    let two = sample.root().with(Model::subgraphs, Value::Tables(vec![sample.subgraph(); 2])).to_file(IDENTIFIER);
    assert_eq!(read(&two).unwrap().subgraphs, 2);
}

#[test]
fn errors_name_the_tensor() {
    let sample = Sample::new();
    let with = |field, value| {
        let error = error(&sample.with_tensor(1, field, value));
        assert!(error.to_string().starts_with("tensor 1 (\"filter\"): "), "{error}");
        error.problem
    };
    let shape = |sizes: &[i32]| with(TensorTable::shape, Value::I32s(sizes.to_vec()));
    assert_eq!(shape(&[2, 3, 3, 2]), Problem::DataLength { shape: vec![2, 3, 3, 2], size: 1, found: 18 });
    assert!(matches!(shape(&[2, -3, 3, 1]), Problem::Number { what: "Tensor.shape", found: -3, .. }));
    assert!(matches!(shape(&[1; 9]), Problem::TooMany { what: "dimensions", most: 8, found: 9 }));
    // The product is 2^64, which is zero in 64 bits.
    assert!(matches!(shape(&[1 << 16; 4]), Problem::TooMany { what: "elements", .. }));
    assert!(matches!(with(TensorTable::type_, Value::I8(99)), Problem::Code { what: "Tensor.type_", found: 99 }));
    assert!(matches!(
        with(TensorTable::buffer, Value::U32(5)),
        Problem::Damage(Damage::Index { index: 5, len: 5, .. })
    ));
    assert_eq!(
        with(TensorTable::type_, Value::I8(ElementType::I32.code())),
        Problem::DataLength { shape: vec![2, 3, 3, 1], size: 4, found: 18 }
    );
}

#[test]
fn errors_name_the_operator() {
    let sample = Sample::new();
    let with = |index, field, value| error(&sample.with_operator(index, field, value));
    let other = with(0, OperatorTable::inputs, Value::I32s(vec![0, 10, 2]));
    assert_eq!(other.to_string(), "operator 0 (CONV_2D): inputs: expected the index of one of 10 tensors, found 10");
    let negative = with(3, OperatorTable::inputs, Value::I32s(vec![6, 7, -2]));
    assert_eq!(negative.to_string(), "operator 3 (FULLY_CONNECTED): inputs: expected at least 0, found -2");
    let output = with(1, OperatorTable::outputs, Value::I32s(vec![-1]));
    assert_eq!(output.to_string(), "operator 1 (MAX_POOL_2D): outputs: expected at least 0, found -1");
    let options = with(4, OperatorTable::builtin_options_type, Value::U8(1));
    assert_eq!(options.problem, Problem::OptionsType { expected: 9, found: 1 });
    // Without options its stride is 0.
    let options = with(0, OperatorTable::builtin_options_type, Value::U8(0));
    assert_eq!(options.to_string(), "operator 0 (CONV_2D): Conv2DOptions.stride_h: expected at least 1, found 0");
    let code = with(2, OperatorTable::opcode_index, Value::U32(7));
    assert_eq!(code.to_string(), "operator 2 (): Model.operator_codes: expected an index below 5, found 7");
    let mut sample = sample;
    sample.graph = sample.graph.with(SubGraph::outputs, Value::I32s(vec![77]));
    let outputs = error(&sample.file()).to_string();
    assert_eq!(outputs, "outputs of the graph: expected the index of one of 10 tensors, found 77");
}

#[test]
fn peculiar_tensors_are_noted() {
    let sample = Sample::new();
    let with = |field, value| read(&sample.with_tensor(0, field, value)).unwrap().tensors[0].peculiarity;
    assert_eq!(with(TensorTable::is_variable, Value::Bool(true)), Some(Peculiarity::Variable));
    assert_eq!(with(TensorTable::sparsity, Value::Table(Node::default())), Some(Peculiarity::Sparse));
    assert_eq!(with(TensorTable::external_buffer, Value::U32(1)), Some(Peculiarity::External));
    let other = Node::default().with(QuantizationParameters::details_type, Value::U8(2));
    assert_eq!(with(TensorTable::quantization, Value::Table(other)), Some(Peculiarity::OtherQuantisation));
    assert_eq!(with(TensorTable::quantization, quantised(&[1.0], 0, 0)), None);
}

fn u32_at(file: &[u8], at: usize) -> usize {
    u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize
}

/// Where a table holds a field.
fn place(file: &[u8], table: usize, field: Field) -> usize {
    let vtable = table.wrapping_add_signed(-(u32_at(file, table) as i32 as isize));
    let at = vtable + 4 + 2 * field.slot;
    table + usize::from(u16::from_le_bytes(file[at..at + 2].try_into().unwrap()))
}

/// Where the vector of the graph's tensors is.
fn tensors_vector(file: &[u8]) -> usize {
    let follow = |at: usize| at + u32_at(file, at);
    let graphs = follow(place(file, follow(0), Model::subgraphs));
    follow(place(file, follow(graphs + 4), SubGraph::tensors))
}

/// Many tables may refer to one list; a small file must not become a large graph.
#[test]
fn shared_lists_do_not_multiply() {
    let mut sample = Sample::new();
    let small = tensor("", ElementType::I8, &[1], 0);
    let large = small.clone().with(TensorTable::quantization, quantised(&[1.0; 1000], 0, 0));
    sample.tensors = [vec![small; 99], vec![large]].concat();
    sample.operators.clear();
    sample.graph = Node::default();
    let mut file = sample.file();
    let scales = |graph: Graph<'_>| graph.tensors.iter().map(|tensor| tensor.quantisation.scales.len()).sum::<usize>();
    assert_eq!(scales(read(&file).unwrap()), 1000);
    // All of them become the last one.
    let references = tensors_vector(&file) + 4;
    let last = references + 4 * 99;
    let target = last + u32_at(&file, last);
    for at in (references..last).step_by(4) {
        file[at..at + 4].copy_from_slice(&((target - at) as u32).to_le_bytes());
    }
    assert_eq!(error(&file).problem, Problem::Shared { most: MOST_SHARED * file.len() });
}

#[test]
fn limits_are_kept() {
    let mut sample = Sample::new();
    sample.operators = vec![operator(4, &[8], 9); MAX_OPERATORS + 1];
    let problem = error(&sample.file()).problem;
    assert_eq!(problem, Problem::TooMany { what: "operators", most: MAX_OPERATORS, found: MAX_OPERATORS + 1 });
    let scales = quantised(&vec![1.0; MAX_SCALES + 1], 0, 0);
    let problem = error(&Sample::new().with_tensor(1, TensorTable::quantization, scales)).problem;
    assert_eq!(problem, Problem::TooMany { what: "scales", most: MAX_SCALES, found: MAX_SCALES + 1 });
    sample.tensors = vec![tensor("", ElementType::I8, &[1], 0); MAX_TENSORS + 1];
    let problem = error(&sample.file()).problem;
    assert_eq!(problem, Problem::TooMany { what: "tensors", most: MAX_TENSORS, found: MAX_TENSORS + 1 });
}

#[test]
fn names_are_shown_on_one_line() {
    let sample = Sample::new();
    let mut named = sample.clone();
    named.tensors[1] = named.tensors[1].clone().with(TensorTable::name, Value::Text("a\n\u{1b}[31m\"b"));
    let shape = Value::I32s(vec![2]);
    let message = error(&named.with_tensor(1, TensorTable::shape, shape.clone())).to_string();
    assert!(message.starts_with(r#"tensor 1 ("a\n\u{1b}[31m\"b"): expected data"#), "{message}");
    named.tensors[1] = named.tensors[1]
        .clone()
        .with(TensorTable::name, Value::Text("0123456789 123456789 123456789 123456789 123456789 123456789 more"));
    let message = error(&named.with_tensor(1, TensorTable::shape, shape)).to_string();
    assert!(message.contains(" 123456789...\")"), "{message}");
}
