//! WebAssembly's text format to modules: the `wast` crate for the IDE. The IDE's worker loads it when a project is
//! written in WAT.

use wasm_bindgen::prelude::wasm_bindgen;
use wast::parser::{parse, ParseBuffer};
use wast::Wat;

/// A module, or where the text is wrong and why.
#[wasm_bindgen]
#[derive(Debug, PartialEq, Eq)]
pub struct Compiled {
    module: Option<Vec<u8>>,
    line: u32,
    column: u32,
    message: String,
}

#[wasm_bindgen]
impl Compiled {
    /// The module; `undefined` where the text is wrong.
    #[wasm_bindgen(getter)]
    pub fn module(&self) -> Option<Vec<u8>> {
        self.module.clone()
    }

    /// 1-based.
    #[wasm_bindgen(getter)]
    pub fn line(&self) -> u32 {
        self.line
    }

    /// 1-based, in bytes of UTF-8.
    #[wasm_bindgen(getter)]
    pub fn column(&self) -> u32 {
        self.column
    }

    /// Why the text is wrong; empty when it is not.
    #[wasm_bindgen(getter)]
    pub fn message(&self) -> String {
        self.message.clone()
    }
}

/// Compiles a text.
#[wasm_bindgen]
pub fn compile(text: &str) -> Compiled {
    let encoded = || -> Result<Vec<u8>, wast::Error> {
        let buffer = ParseBuffer::new(text)?;
        parse::<Wat>(&buffer)?.encode()
    };
    match encoded() {
        Ok(module) => Compiled { module: Some(module), line: 0, column: 0, message: String::new() },
        Err(error) => {
            let (line, column) = error.span().linecol_in(text);
            let one_based = |at: usize| u32::try_from(at).map_or(u32::MAX, |at| at.saturating_add(1));
            Compiled {
                module: None,
                line: one_based(line),
                column: one_based(column),
                message: error.message(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_encoded_and_an_error_has_its_place() {
        let module = compile("(module (func (export \"f\")))").module.unwrap_or_default();
        assert_eq!(module.get(..8), Some(&b"\0asm\x01\0\0\0"[..]));
        let wrong = compile("(module\n  (func (result i32) (i32.cnst 1)))");
        assert_eq!((wrong.module, wrong.line, wrong.column), (None, 2, 23));
        assert!(wrong.message.contains("operator"), "{}", wrong.message);
    }

    #[test]
    fn hostile_nesting_is_an_error() {
        let deep = format!("(module {})", "(block ".repeat(100_000));
        assert_eq!(compile(&deep).module, None);
    }
}
