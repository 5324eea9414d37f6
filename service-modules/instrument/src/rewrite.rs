//! Puts the new module together.

use std::collections::BTreeMap;
use std::ops::Range;

use service_abi::limits::{MAX_TABLE_ELEMENTS, PAGE};
use service_abi::{limits, HANDLE, INITIALIZE, MEMORY};
use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, ExportKind, ExportSection, Function, FunctionSection, GlobalSection,
    GlobalType, Instruction as I, MemorySection, MemoryType, Module, RawSection, SectionId, TableSection,
    TypeSection, ValType,
};
use wasmparser::{FunctionBody, Parser, Payload};

use crate::body::{self, Added, Signature};
use crate::error::Refused;
use crate::nan::Canonical;
use crate::scan::Scan;
use crate::Limits;

/// Rewrites a scanned module.
pub fn rewrite(module: &[u8], scan: &Scan, limits: &Limits) -> Result<Vec<u8>, Refused> {
    let pages = limits.memory_pages.min(limits::MAX_MEMORY_PAGES);
    if scan.memory.initial > u64::from(pages) {
        return Err(Refused::Memory { pages: scan.memory.initial, limit: pages });
    }
    let pages = scan.memory.maximum.map_or(pages, |maximum| maximum.min(u64::from(pages)) as u32);
    let mut rewriter = Rewriter::new(scan)?;
    for payload in Parser::new(0).parse_all(module) {
        rewriter.payload(module, payload?)?;
    }
    rewriter.finish(pages)
}

/// The parts of the new module, collected while the old one is read.
struct Rewriter<'a> {
    scan: &'a Scan,
    added: Added,
    /// Index of the global `$oom`.
    oom: u32,
    types: TypeSection,
    /// Type indices of `(i64) -> ()` and `(i32) -> (i32)`.
    helper_types: [u32; 2],
    /// For function types with several results: the type of a block that has these results.
    block_types: BTreeMap<u32, u32>,
    globals: GlobalSection,
    code: CodeSection,
    bodies: usize,
    /// Sections that are copied as they are.
    imports: Option<RawSection<'a>>,
    elements: Option<RawSection<'a>>,
    data_count: Option<RawSection<'a>>,
    data: Option<RawSection<'a>>,
}

impl<'a> Rewriter<'a> {
    fn new(scan: &'a Scan) -> Result<Self, Refused> {
        let (functions, globals) = (scan.functions.len() as u32, scan.globals.len() as u32);
        let mut types = TypeSection::new();
        for ty in &scan.types {
            types.ty().function(values(ty.params())?, values(ty.results())?);
        }
        let helper_types = [types.len(), types.len() + 1];
        types.ty().function([ValType::I64], []);
        types.ty().function([ValType::I32], [ValType::I32]);
        let mut block_types = BTreeMap::new();
        for (index, ty) in scan.types.iter().enumerate().filter(|(_, ty)| ty.results().len() > 1) {
            block_types.insert(index as u32, types.len());
            types.ty().function([], values(ty.results())?);
        }
        Ok(Rewriter {
            scan,
            added: Added { gas: globals, depth: globals + 1, charge: functions, grow: functions + 1 },
            oom: globals + 2,
            types,
            helper_types,
            block_types,
            globals: GlobalSection::new(),
            code: CodeSection::new(),
            bodies: 0,
            imports: None,
            elements: None,
            data_count: None,
            data: None,
        })
    }

    fn payload(&mut self, module: &'a [u8], payload: Payload<'a>) -> Result<(), Refused> {
        let raw = |id: SectionId, range: Range<u64>| {
            let data = module.get(range.start as usize..range.end as usize).unwrap_or_default();
            Some(RawSection { id: id.into(), data })
        };
        match payload {
            Payload::ImportSection(reader) => self.imports = raw(SectionId::Import, reader.range()),
            Payload::ElementSection(reader) => self.elements = raw(SectionId::Element, reader.range()),
            Payload::DataCountSection { range, .. } => self.data_count = raw(SectionId::DataCount, range),
            Payload::DataSection(reader) => self.data = raw(SectionId::Data, reader.range()),
            Payload::GlobalSection(reader) => {
                for global in reader {
                    RoundtripReencoder.parse_global(&mut self.globals, global?).map_err(not_encodable)?;
                }
            }
            Payload::CodeSectionEntry(body) => self.body(&body)?,
            _ => {}
        }
        Ok(())
    }

    fn body(&mut self, body: &FunctionBody<'_>) -> Result<(), Refused> {
        let scan = self.scan;
        let height = scan.operand_heights.get(self.bodies).copied().unwrap_or(0);
        let index = scan.functions.get(scan.imported_functions as usize + self.bodies).copied().unwrap_or(0);
        let ty = scan
            .types
            .get(index as usize)
            .ok_or(Refused::NotAllowed { what: "a function without a type" })?;
        let block = match (ty.results(), self.block_types.get(&index)) {
            (_, Some(block)) => BlockType::FunctionType(*block),
            ([result], None) => BlockType::Result(value(*result)?),
            _ => BlockType::Empty,
        };
        let signature = Signature { params: ty.params().len() as u32, block, height };
        let float_global = |index: u32| match scan.globals.get(index as usize)?.content_type {
            wasmparser::ValType::F32 => Some(Canonical::F32Operand),
            wasmparser::ValType::F64 => Some(Canonical::F64Operand),
            _ => None,
        };
        self.code.function(&body::rewrite(body, signature, self.added, float_global)?);
        self.bodies += 1;
        Ok(())
    }

    fn finish(mut self, pages: u32) -> Result<Vec<u8>, Refused> {
        let scan = self.scan;
        let mut functions = FunctionSection::new();
        let defined = scan.functions.iter().skip(scan.imported_functions as usize);
        defined.chain(&self.helper_types).for_each(|ty| _ = functions.function(*ty));
        let mut tables = TableSection::new();
        for ty in &scan.tables {
            let mut ty = RoundtripReencoder.table_type(*ty).map_err(not_encodable)?;
            let most = u64::from(MAX_TABLE_ELEMENTS);
            ty.maximum = Some(ty.maximum.map_or(most, |maximum| maximum.min(most)));
            tables.table(ty);
        }
        let mut memories = MemorySection::new();
        memories.memory(MemoryType {
            minimum: scan.memory.initial,
            maximum: Some(u64::from(pages)),
            memory64: false,
            shared: false,
            page_size_log2: None,
        });
        let mutable = |val_type| GlobalType { val_type, mutable: true, shared: false };
        self.globals.global(mutable(ValType::I64), &ConstExpr::i64_const(0));
        self.globals.global(mutable(ValType::I32), &ConstExpr::i32_const(0));
        self.globals.global(mutable(ValType::I32), &ConstExpr::i32_const(0));
        self.code.function(&charge(self.added.gas));
        self.code.function(&grow(self.added, self.oom, pages));

        let mut module = Module::new();
        module.section(&self.types);
        self.imports.iter().for_each(|section| _ = module.section(section));
        module.section(&functions);
        if !tables.is_empty() {
            module.section(&tables);
        }
        module.section(&memories).section(&self.globals).section(&self.exports());
        self.elements.iter().for_each(|section| _ = module.section(section));
        self.data_count.iter().for_each(|section| _ = module.section(section));
        module.section(&self.code);
        self.data.iter().for_each(|section| _ = module.section(section));
        Ok(module.finish())
    }

    fn exports(&self) -> ExportSection {
        let scan = self.scan;
        let mut exports = ExportSection::new();
        exports.export(MEMORY, ExportKind::Memory, 0).export(HANDLE, ExportKind::Func, scan.handle);
        scan.initialize.iter().for_each(|index| _ = exports.export(INITIALIZE, ExportKind::Func, *index));
        scan.start.iter().for_each(|index| _ = exports.export("$start", ExportKind::Func, *index));
        for (name, index) in [("$gas", self.added.gas), ("$depth", self.added.depth), ("$oom", self.oom)] {
            exports.export(name, ExportKind::Global, index);
        }
        for (index, _) in scan.globals.iter().enumerate().filter(|(_, ty)| ty.mutable) {
            exports.export(&format!("$g{index}"), ExportKind::Global, index as u32);
        }
        for index in &scan.mutated_tables {
            exports.export(&format!("$t{index}"), ExportKind::Table, *index);
        }
        if !scan.mutated_tables.is_empty() {
            for index in 0..scan.functions.len() as u32 {
                exports.export(&format!("$f{index}"), ExportKind::Func, index);
            }
        }
        exports
    }
}

/// `(gas: i64)`: burns gas.
fn charge(gas: u32) -> Function {
    function([
        I::GlobalGet(gas),
        I::LocalGet(0),
        I::I64Sub,
        I::LocalTee(0),
        I::GlobalSet(gas),
        I::LocalGet(0),
        I::I64Const(0),
        I::I64LtS,
        I::If(BlockType::Empty),
        I::Unreachable,
        I::End,
        I::End,
    ])
}

/// `(pages: i32) -> i32`: `memory.grow`, paid by the byte. If it fails although the maximum allows it, the host is at
/// fault: `$oom` is set and the event traps, since other replicas may have the memory.
fn grow(added: Added, oom: u32, pages: u32) -> Function {
    function([
        I::LocalGet(0),
        I::I64ExtendI32U,
        I::I64Const(i64::from(PAGE >> limits::BYTES_PER_GAS_SHIFT)),
        I::I64Mul,
        I::Call(added.charge),
        I::MemorySize(0),
        I::I64ExtendI32U,
        I::LocalGet(0),
        I::I64ExtendI32U,
        I::I64Add,
        I::I64Const(i64::from(pages)),
        I::I64GtU,
        I::If(BlockType::Empty),
        I::I32Const(-1),
        I::Return,
        I::End,
        I::LocalGet(0),
        I::MemoryGrow(0),
        I::LocalTee(0),
        I::I32Const(-1),
        I::I32Eq,
        I::If(BlockType::Empty),
        I::I32Const(1),
        I::GlobalSet(oom),
        I::Unreachable,
        I::End,
        I::LocalGet(0),
        I::End,
    ])
}

fn function<const N: usize>(code: [I<'static>; N]) -> Function {
    let mut function = Function::new([]);
    code.iter().for_each(|instruction| _ = function.instruction(instruction));
    function
}

fn values(types: &[wasmparser::ValType]) -> Result<Vec<ValType>, Refused> {
    types.iter().map(|ty| value(*ty)).collect()
}

fn value(ty: wasmparser::ValType) -> Result<ValType, Refused> {
    RoundtripReencoder.val_type(ty).map_err(not_encodable)
}

/// Cannot happen for what the validator let pass.
fn not_encodable(_: wasm_encoder::reencode::Error) -> Refused {
    Refused::NotAllowed { what: "a construct that cannot be written back" }
}
