//! The objects of a pickle. All lie in one list and name each other by their places in it, so that a pickle which nests them
//! deeply, or puts one into itself, costs no more than its length.

/// The place of an object.
pub(super) type Id = usize;

/// What a name of Python's stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Global {
    OrderedDict,
    /// Makes a tensor of a storage.
    RebuildTensor,
    /// Makes a parameter of a tensor.
    RebuildParameter,
    /// The type of a storage's elements.
    Storage(Element),
    /// A type that says something beside the weights: `torch.Size`, `torch.device`, `torch.float32`, `set` and the like.
    Other,
}

/// The type of a storage's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    F64,
    F32,
    F16,
    BF16,
    /// Integers and truth values of so many bytes.
    Integer(usize),
}

impl Element {
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::Integer(bytes) => bytes,
        }
    }
}

/// Numbers of a file that tensors share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Storage {
    pub key: String,
    pub element: Element,
}

/// An object.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Object {
    None,
    Integer(i64),
    Text(String),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(Global),
    Storage(Storage),
    /// A storage, the first element, sizes and strides.
    Tensor {
        storage: Id,
        offset: Id,
        sizes: Id,
        strides: Id,
    },
    /// What has nothing to do with weights.
    Other,
}

/// A pickle that was read.
#[derive(Debug)]
pub(super) struct Pickle {
    pub objects: Vec<Object>,
    pub root: Id,
    /// Bytes that it takes.
    pub length: usize,
}

impl Pickle {
    pub(super) fn get(&self, id: Id) -> &Object {
        self.objects.get(id).unwrap_or(&Object::None)
    }

    pub(super) fn text(&self, id: Id) -> Option<&str> {
        if let Object::Text(text) = self.get(id) { Some(text) } else { None }
    }

    /// The numbers of a tuple or list.
    pub(super) fn integers(&self, id: Id) -> Option<Vec<usize>> {
        let (Object::Tuple(ids) | Object::List(ids)) = self.get(id) else { return None };
        let integer = |id: &Id| if let Object::Integer(n) = self.get(*id) { usize::try_from(*n).ok() } else { None };
        ids.iter().map(integer).collect()
    }
}

/// The names that may be in a pickle of weights.
pub(super) fn global(module: &str, name: &str) -> Option<Global> {
    Some(match (module, name) {
        ("collections", "OrderedDict") => Global::OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => Global::RebuildTensor,
        ("torch._utils", "_rebuild_parameter") => Global::RebuildParameter,
        ("torch", "DoubleStorage") => Global::Storage(Element::F64),
        ("torch", "FloatStorage") => Global::Storage(Element::F32),
        ("torch", "HalfStorage") => Global::Storage(Element::F16),
        ("torch", "BFloat16Storage") => Global::Storage(Element::BF16),
        ("torch", "LongStorage") => Global::Storage(Element::Integer(8)),
        ("torch", "IntStorage") => Global::Storage(Element::Integer(4)),
        ("torch", "ShortStorage") => Global::Storage(Element::Integer(2)),
        ("torch", "CharStorage" | "ByteStorage" | "BoolStorage") => Global::Storage(Element::Integer(1)),
        ("torch", "Size" | "device" | "float64" | "float32" | "float16" | "bfloat16" | "int64" | "int32" | "bool")
        | ("builtins" | "__builtin__", "set" | "frozenset")
        | ("collections", "defaultdict" | "Counter")
        | ("builtins" | "__builtin__", "dict" | "int" | "float" | "str" | "list" | "tuple" | "bool") => Global::Other,
        _ => return None,
    })
}
