//! Names and numbers of the format, as far as they are used: TensorFlow Lite's `schema.fbs`, version 3d
//! (`tensorflow/compiler/mlir/lite/schema` in the repository of TFLite Micro, October 2026).

use super::flatbuffer::Field;

/// The bytes that identify the format.
pub(crate) const IDENTIFIER: [u8; 4] = *b"TFL3";
/// The version of the schema; those with a letter are read by readers of this one.
pub(super) const VERSION: u32 = 3;
/// An operator's input that is left out.
pub(super) const ABSENT: i32 = -1;
/// What the old field of an operator's code holds where the code does not fit it.
pub(super) const PLACEHOLDER: i32 = 127;

/// Tables with their fields: number and name in the schema.
macro_rules! tables {
    ($($table:ident { $($slot:literal $field:ident),* $(,)? })*) => { $(
        #[allow(non_snake_case, non_upper_case_globals, reason = "the schema's names")]
        pub(super) mod $table {
            use super::Field;
            $(pub(in crate::tflite) const $field: Field =
                Field { slot: $slot, name: concat!(stringify!($table), ".", stringify!($field)) };)*
        }
    )* };
}

tables! {
    Model { 0 version, 1 operator_codes, 2 subgraphs, 3 description, 4 buffers }
    OperatorCode { 0 deprecated_builtin_code, 1 custom_code, 2 version, 3 builtin_code }
    SubGraph { 0 tensors, 1 inputs, 2 outputs, 3 operators, 4 name }
    Buffer { 0 data, 1 offset, 2 size }
    Tensor {
        0 shape, 1 type_, 2 buffer, 3 name, 4 quantization, 5 is_variable, 6 sparsity, 10 external_buffer,
    }
    QuantizationParameters { 2 scale, 3 zero_point, 4 details_type, 6 quantized_dimension }
    Operator { 0 opcode_index, 1 inputs, 2 outputs, 3 builtin_options_type, 4 builtin_options }
    Conv2DOptions {
        0 padding, 1 stride_w, 2 stride_h, 3 fused_activation_function, 4 dilation_w_factor, 5 dilation_h_factor,
    }
    DepthwiseConv2DOptions {
        0 padding, 1 stride_w, 2 stride_h, 3 depth_multiplier, 4 fused_activation_function, 5 dilation_w_factor,
        6 dilation_h_factor,
    }
    Pool2DOptions {
        0 padding, 1 stride_w, 2 stride_h, 3 filter_width, 4 filter_height, 5 fused_activation_function,
    }
    FullyConnectedOptions {
        0 fused_activation_function, 1 weights_format, 2 keep_num_dims, 3 asymmetric_quantize_inputs,
    }
    SoftmaxOptions { 0 beta }
    ConcatenationOptions { 0 axis, 1 fused_activation_function }
    AddOptions { 0 fused_activation_function }
    MulOptions { 0 fused_activation_function }
    ReshapeOptions { 0 new_shape }
    ReducerOptions { 0 keep_dims }
}

/// The words of `BuiltinOperator` in the order of their numbers, from 0 on.
const OPERATORS: &str = "\
    ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE EMBEDDING_LOOKUP FLOOR \
    FULLY_CONNECTED HASHTABLE_LOOKUP L2_NORMALIZATION L2_POOL_2D LOCAL_RESPONSE_NORMALIZATION LOGISTIC \
    LSH_PROJECTION LSTM MAX_POOL_2D MUL RELU RELU_N1_TO_1 RELU6 RESHAPE RESIZE_BILINEAR RNN SOFTMAX SPACE_TO_DEPTH \
    SVDF TANH CONCAT_EMBEDDINGS SKIP_GRAM CALL CUSTOM EMBEDDING_LOOKUP_SPARSE PAD UNIDIRECTIONAL_SEQUENCE_RNN \
    GATHER BATCH_TO_SPACE_ND SPACE_TO_BATCH_ND TRANSPOSE MEAN SUB DIV SQUEEZE UNIDIRECTIONAL_SEQUENCE_LSTM \
    STRIDED_SLICE BIDIRECTIONAL_SEQUENCE_RNN EXP TOPK_V2 SPLIT LOG_SOFTMAX DELEGATE BIDIRECTIONAL_SEQUENCE_LSTM \
    CAST PRELU MAXIMUM ARG_MAX MINIMUM LESS NEG PADV2 GREATER GREATER_EQUAL LESS_EQUAL SELECT SLICE SIN \
    TRANSPOSE_CONV SPARSE_TO_DENSE TILE EXPAND_DIMS EQUAL NOT_EQUAL LOG SUM SQRT RSQRT SHAPE POW ARG_MIN \
    FAKE_QUANT REDUCE_PROD REDUCE_MAX PACK LOGICAL_OR ONE_HOT LOGICAL_AND LOGICAL_NOT UNPACK REDUCE_MIN FLOOR_DIV \
    REDUCE_ANY SQUARE ZEROS_LIKE FILL FLOOR_MOD RANGE RESIZE_NEAREST_NEIGHBOR LEAKY_RELU SQUARED_DIFFERENCE \
    MIRROR_PAD ABS SPLIT_V UNIQUE CEIL REVERSE_V2 ADD_N GATHER_ND COS WHERE RANK ELU REVERSE_SEQUENCE MATRIX_DIAG \
    QUANTIZE MATRIX_SET_DIAG ROUND HARD_SWISH IF WHILE NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5 SCATTER_ND \
    SELECT_V2 DENSIFY SEGMENT_SUM BATCH_MATMUL PLACEHOLDER_FOR_GREATER_OP_CODES CUMSUM CALL_ONCE BROADCAST_TO \
    RFFT2D CONV_3D IMAG REAL COMPLEX_ABS HASHTABLE HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_SIZE REDUCE_ALL \
    CONV_3D_TRANSPOSE VAR_HANDLE READ_VARIABLE ASSIGN_VARIABLE BROADCAST_ARGS RANDOM_STANDARD_NORMAL BUCKETIZE \
    RANDOM_UNIFORM MULTINOMIAL GELU DYNAMIC_UPDATE_SLICE RELU_0_TO_1 UNSORTED_SEGMENT_PROD UNSORTED_SEGMENT_MAX \
    UNSORTED_SEGMENT_SUM ATAN2 UNSORTED_SEGMENT_MIN SIGN BITCAST BITWISE_XOR RIGHT_SHIFT STABLEHLO_LOGISTIC \
    STABLEHLO_ADD STABLEHLO_DIVIDE STABLEHLO_MULTIPLY STABLEHLO_MAXIMUM STABLEHLO_RESHAPE STABLEHLO_CLAMP \
    STABLEHLO_CONCATENATE STABLEHLO_BROADCAST_IN_DIM STABLEHLO_CONVOLUTION STABLEHLO_SLICE STABLEHLO_CUSTOM_CALL \
    STABLEHLO_REDUCE STABLEHLO_ABS STABLEHLO_AND STABLEHLO_COSINE STABLEHLO_EXPONENTIAL STABLEHLO_FLOOR \
    STABLEHLO_LOG STABLEHLO_MINIMUM STABLEHLO_NEGATE STABLEHLO_OR STABLEHLO_POWER STABLEHLO_REMAINDER \
    STABLEHLO_RSQRT STABLEHLO_SELECT STABLEHLO_SUBTRACT STABLEHLO_TANH STABLEHLO_SCATTER STABLEHLO_COMPARE \
    STABLEHLO_CONVERT STABLEHLO_DYNAMIC_SLICE STABLEHLO_DYNAMIC_UPDATE_SLICE STABLEHLO_PAD STABLEHLO_IOTA \
    STABLEHLO_DOT_GENERAL STABLEHLO_REDUCE_WINDOW STABLEHLO_SORT STABLEHLO_WHILE STABLEHLO_GATHER \
    STABLEHLO_TRANSPOSE DILATE STABLEHLO_RNG_BIT_GENERATOR REDUCE_WINDOW STABLEHLO_COMPOSITE STABLEHLO_SHIFT_LEFT \
    STABLEHLO_CBRT STABLEHLO_CASE";
/// The types of option tables: an operator's word, and the number of its table in `BuiltinOptions`.
const OPTIONS: [(&str, u8); 11] = [
    ("CONV_2D", 1),
    ("DEPTHWISE_CONV_2D", 2),
    ("MAX_POOL_2D", 5),
    ("AVERAGE_POOL_2D", 5),
    ("FULLY_CONNECTED", 8),
    ("SOFTMAX", 9),
    ("CONCATENATION", 10),
    ("ADD", 11),
    ("RESHAPE", 17),
    ("MUL", 21),
    ("MEAN", 27),
];

/// The number of the table of an operator's options; `None` if it has none, or none that is read.
pub(super) fn options_type(operator: &str) -> Option<u8> {
    OPTIONS.iter().find(|(word, _)| *word == operator).map(|(_, number)| *number)
}

/// The number of custom operators.
pub(super) const CUSTOM: i32 = 32;

/// The schema's word for an operator.
pub(super) fn operator_name(code: i32) -> Option<&'static str> {
    OPERATORS.split_whitespace().nth(usize::try_from(code).ok()?)
}

/// The number of an operator, by its word.
pub(super) fn operator_code(name: &str) -> Option<i32> {
    let index = OPERATORS.split_whitespace().position(|word| word == name)?;
    i32::try_from(index).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_have_the_numbers_of_the_schema() {
        assert_eq!(OPERATORS.split_whitespace().count(), 210);
        for (code, name) in [
            (0, "ADD"),
            (CUSTOM, "CUSTOM"),
            (44, "UNIDIRECTIONAL_SEQUENCE_LSTM"),
            (114, "QUANTIZE"),
            (PLACEHOLDER, "PLACEHOLDER_FOR_GREATER_OP_CODES"),
            (150, "GELU"),
            (206, "STABLEHLO_COMPOSITE"),
            (209, "STABLEHLO_CASE"),
        ] {
            assert_eq!((operator_name(code), operator_code(name)), (Some(name), Some(code)));
        }
        assert_eq!((operator_name(210), operator_name(-1), operator_code("SUMO")), (None, None, None));
    }
}
