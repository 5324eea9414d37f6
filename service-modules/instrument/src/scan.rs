//! Validates a module, refuses what the ABI does not allow, and notes what rewriting needs.

use std::collections::BTreeSet;
use std::ops::Range;

use service_abi::imports::{self, Type};
use service_abi::report::ModuleReport;
use service_abi::{limits, HANDLE, IMPORT_MODULE, INITIALIZE, MEMORY, RESERVED};
use wasmparser::{
    ExternalKind, FuncToValidate, FuncType, FuncValidatorAllocations, FunctionBody, GlobalType, Import,
    MemoryType, Operator, Parser, Payload, RefType, TableType, TypeRef, ValType, ValidPayload, Validator,
    ValidatorResources, WasmFeatures,
};

use crate::error::Refused;

/// The features of ABI version 1.
pub(crate) fn features() -> WasmFeatures {
    WasmFeatures::WASM2
        | WasmFeatures::EXTENDED_CONST
        | WasmFeatures::BULK_MEMORY_OPT
        | WasmFeatures::CALL_INDIRECT_OVERLONG
}

/// What was found in a valid module.
#[derive(Debug)]
pub struct Scan {
    /// For policies.
    pub report: ModuleReport,
    pub(crate) types: Vec<FuncType>,
    /// Type index of each function, imported ones first.
    pub(crate) functions: Vec<u32>,
    pub(crate) imported_functions: u32,
    pub(crate) tables: Vec<TableType>,
    pub(crate) memory: MemoryType,
    pub(crate) globals: Vec<GlobalType>,
    pub(crate) handle: u32,
    pub(crate) initialize: Option<u32>,
    pub(crate) start: Option<u32>,
    pub(crate) mutated_tables: BTreeSet<u32>,
    /// Highest operand stack of each defined function, in entries.
    pub(crate) operand_heights: Vec<u32>,
}

/// Validates and reports.
pub fn scan(module: &[u8]) -> Result<Scan, Refused> {
    if module.len() > limits::MAX_MODULE {
        return Err(Refused::TooLarge { size: module.len(), limit: limits::MAX_MODULE });
    }
    let mut scanner = Scanner { size: module.len() as u64, ..Scanner::default() };
    let mut validator = Validator::new_with_features(features());
    let mut allocations = FuncValidatorAllocations::default();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload?;
        scanner.before(&payload)?;
        if let ValidPayload::Func(function, body) = validator.payload(&payload)? {
            allocations = scanner.function(function, &body, allocations)?;
        }
        scanner.after(payload)?;
    }
    scanner.finish()
}

#[derive(Default)]
struct Scanner {
    size: u64,
    report: ModuleReport,
    types: Vec<FuncType>,
    functions: Vec<u32>,
    imported_functions: u32,
    tables: Vec<TableType>,
    memory: Option<MemoryType>,
    globals: Vec<GlobalType>,
    handle: Option<u32>,
    memory_exported: bool,
    initialize: Option<u32>,
    start: Option<u32>,
    mutated_tables: BTreeSet<u32>,
    operand_heights: Vec<u32>,
}

impl Scanner {
    /// Bounds that must hold before the validator allocates.
    fn before(&self, payload: &Payload<'_>) -> Result<(), Refused> {
        match payload {
            Payload::TypeSection(reader) => bound("types", reader.count(), limits::MAX_TYPES),
            Payload::ImportSection(reader) => {
                bound("imports", reader.count(), imports::IMPORTS.len() as u32 * 4)
            }
            Payload::FunctionSection(reader) => bound("functions", reader.count(), limits::MAX_FUNCTIONS),
            Payload::TableSection(reader) => bound("tables", reader.count(), limits::MAX_TABLES),
            Payload::GlobalSection(reader) => bound("globals", reader.count(), limits::MAX_GLOBALS),
            Payload::ExportSection(reader) => bound("exports", reader.count(), limits::MAX_FUNCTIONS),
            Payload::ElementSection(reader) => {
                bound("element segments", reader.count(), limits::MAX_SEGMENTS)
            }
            Payload::DataSection(reader) => bound("data segments", reader.count(), limits::MAX_SEGMENTS),
            Payload::CodeSectionEntry(body) => {
                let length = body.as_bytes().len();
                bound("function bodies", u32::try_from(length).unwrap_or(u32::MAX), limits::MAX_BODY as u32)
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                Err(Refused::NotAllowed { what: "the component model" })
            }
            _ => Ok(()),
        }
    }

    /// Notes a valid section.
    fn after(&mut self, payload: Payload<'_>) -> Result<(), Refused> {
        match payload {
            Payload::TypeSection(reader) => {
                for ty in reader.into_iter_err_on_gc_types() {
                    self.types.push(ty?);
                }
            }
            Payload::ImportSection(reader) => {
                for import in reader.into_imports() {
                    self.import(import?)?;
                }
            }
            Payload::FunctionSection(reader) => {
                for ty in reader {
                    self.functions.push(ty?);
                }
                self.report.functions = self.functions.len() as u32 - self.imported_functions;
            }
            Payload::TableSection(reader) => {
                for table in reader {
                    self.table(table?.ty)?;
                }
            }
            Payload::MemorySection(reader) => {
                for memory in reader {
                    self.memory = Some(memory?);
                }
            }
            Payload::GlobalSection(reader) => {
                for global in reader {
                    self.global(global?.ty)?;
                }
            }
            Payload::ExportSection(reader) => {
                for export in reader {
                    let export = export?;
                    self.export(export.name, export.kind, export.index)?;
                }
            }
            Payload::StartSection { func, .. } => self.start = Some(func),
            Payload::DataSection(reader) => {
                for data in reader {
                    self.report.data_bytes += data?.data.len() as u64;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn import(&mut self, import: Import<'_>) -> Result<(), Refused> {
        let refused = || Refused::Import {
            module: shorten(import.module).to_owned(),
            name: shorten(import.name).to_owned(),
        };
        let (IMPORT_MODULE, Some(known), TypeRef::Func(ty)) =
            (import.module, imports::find(import.name), import.ty)
        else {
            return Err(refused());
        };
        let found = self.types.get(ty as usize).ok_or_else(refused)?;
        let same =
            |types: &[ValType], wanted: &[Type]| types.iter().copied().eq(wanted.iter().map(|ty| value(*ty)));
        // A result that a module does not care for need not be in its import.
        let results = found.results().is_empty() || same(found.results(), known.result.as_slice());
        if !same(found.params(), known.params) || !results {
            return Err(Refused::Signature { name: known.name.to_owned() });
        }
        self.functions.push(ty);
        self.imported_functions += 1;
        self.report.imports.push(known.name.to_owned());
        Ok(())
    }

    fn table(&mut self, ty: TableType) -> Result<(), Refused> {
        if ty.element_type != RefType::FUNCREF {
            return Err(Refused::NotAllowed { what: "tables of other than functions" });
        }
        let elements = u64::from(self.report.table_elements) + ty.initial;
        if elements > u64::from(limits::MAX_TABLE_ELEMENTS) {
            let limit = u64::from(limits::MAX_TABLE_ELEMENTS);
            return Err(Refused::TooMany { what: "table elements", found: elements, limit });
        }
        self.report.table_elements = elements as u32;
        self.tables.push(ty);
        Ok(())
    }

    fn global(&mut self, ty: GlobalType) -> Result<(), Refused> {
        if ty.mutable {
            if !matches!(ty.content_type, ValType::I32 | ValType::I64 | ValType::F32 | ValType::F64) {
                return Err(Refused::NotAllowed { what: "mutable globals of type v128 or reference" });
            }
            self.report.mutable_globals += 1;
        }
        self.globals.push(ty);
        Ok(())
    }

    fn export(&mut self, name: &str, kind: ExternalKind, index: u32) -> Result<(), Refused> {
        if name.starts_with(RESERVED) {
            return Err(Refused::ReservedExport { name: shorten(name).to_owned() });
        }
        match (name, kind) {
            (HANDLE, ExternalKind::Func) => self.handle = Some(index),
            (MEMORY, ExternalKind::Memory) => self.memory_exported = true,
            (INITIALIZE, ExternalKind::Func) => self.initialize = Some(index),
            _ => {}
        }
        self.report.exports.push(name.to_owned());
        Ok(())
    }

    fn function(
        &mut self,
        function: FuncToValidate<ValidatorResources>,
        body: &FunctionBody<'_>,
        allocations: FuncValidatorAllocations,
    ) -> Result<FuncValidatorAllocations, Refused> {
        let Range { start, end } = body.range();
        self.report.largest_function = self.report.largest_function.max((end - start) as u32);
        let mut validator = function.into_validator(allocations);
        let mut reader = body.get_binary_reader();
        validator.read_locals(&mut reader)?;
        bound("locals of a function", validator.len_locals(), limits::MAX_LOCALS)?;
        let mut operators = wasmparser::OperatorsReader::new(reader);
        let mut height = 0;
        while !operators.eof() {
            let (operator, offset) = operators.read_with_offset()?;
            self.operator(&operator);
            validator.op(offset, &operator)?;
            height = height.max(validator.operand_stack_height());
        }
        operators.finish()?;
        self.operand_heights.push(height);
        Ok(validator.into_allocations())
    }

    fn operator(&mut self, operator: &Operator<'_>) {
        match *operator {
            Operator::TableSet { table }
            | Operator::TableGrow { table }
            | Operator::TableFill { table }
            | Operator::TableInit { table, .. }
            | Operator::TableCopy { dst_table: table, .. } => {
                self.mutated_tables.insert(table);
            }
            _ => {
                let (floats, simd) = crate::nan::uses(operator);
                self.report.floats |= floats;
                self.report.simd |= simd;
            }
        }
    }

    fn finish(mut self) -> Result<Scan, Refused> {
        let memory = self.memory.filter(|_| self.memory_exported);
        let memory = memory.ok_or(Refused::Export { name: MEMORY, expected: "its one linear memory" })?;
        let expected = "a function (kind: i32, session: i32, len: i32) -> i32";
        let wanted = (&[ValType::I32; 3][..], &[ValType::I32][..]);
        let handle = self.handle.filter(|index| self.signature(*index) == Some(wanted));
        let handle = handle.ok_or(Refused::Export { name: HANDLE, expected })?;
        if self.initialize.is_some_and(|index| self.signature(index) != Some((&[], &[]))) {
            return Err(Refused::Export {
                name: INITIALIZE,
                expected: "a function without parameters and results",
            });
        }
        let report = &mut self.report;
        report.size = self.size;
        report.memory_min = u32::try_from(memory.initial).unwrap_or(u32::MAX);
        report.memory_max = memory.maximum.map(|pages| u32::try_from(pages).unwrap_or(u32::MAX));
        report.runs_at_creation = self.start.is_some() || self.initialize.is_some();
        report.imports.sort_unstable();
        report.imports.dedup();
        report.exports.sort_unstable();
        Ok(Scan {
            report: self.report,
            types: self.types,
            functions: self.functions,
            imported_functions: self.imported_functions,
            tables: self.tables,
            memory,
            globals: self.globals,
            handle,
            initialize: self.initialize,
            start: self.start,
            mutated_tables: self.mutated_tables,
            operand_heights: self.operand_heights,
        })
    }

    fn signature(&self, function: u32) -> Option<(&[ValType], &[ValType])> {
        let ty = self.types.get(*self.functions.get(function as usize)? as usize)?;
        Some((ty.params(), ty.results()))
    }
}

fn value(ty: Type) -> ValType {
    match ty {
        Type::I32 => ValType::I32,
        Type::F64 => ValType::F64,
    }
}

fn bound(what: &'static str, found: u32, limit: u32) -> Result<(), Refused> {
    if found > limit {
        return Err(Refused::TooMany { what, found: found.into(), limit: limit.into() });
    }
    Ok(())
}

/// A name of the module's own making, short enough for a message.
fn shorten(name: &str) -> &str {
    let end = name.char_indices().nth(60).map_or(name.len(), |(index, _)| index);
    &name[..end]
}
