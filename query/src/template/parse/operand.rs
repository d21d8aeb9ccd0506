//! Commands and what they are made of.

use kymo_storage::compat::quote;

use super::Parser;
use crate::template::lex::Kind;
use crate::template::node::{Command, Operand, OperandKind};
use crate::template::number::Number;

impl Parser<'_> {
    pub(super) fn command(&mut self) -> Result<Command, String> {
        let mut command = Command {
            pos: self.peek_non_space().pos,
            operands: Vec::new(),
        };
        loop {
            self.skip_space();
            if let Some(operand) = self.operand()? {
                command.operands.push(operand);
            }
            let token = self.peek();
            match token.kind {
                Kind::Space => {
                    self.next();
                    continue;
                }
                Kind::RightDelim | Kind::RightParen => {}
                Kind::Pipe => {
                    self.next();
                }
                _ => return self.unexpected(&token, "operand"),
            }
            break;
        }
        if command.operands.is_empty() {
            return self.error("empty command");
        }
        Ok(command)
    }

    fn operand(&mut self) -> Result<Option<Operand>, String> {
        let Some(mut operand) = self.term()? else {
            return Ok(None);
        };
        if self.peek_kind() != Kind::Field {
            return Ok(Some(operand));
        }
        let pos = self.peek().pos;
        let mut fields = Vec::new();
        while self.peek_kind() == Kind::Field {
            fields.push(self.next().text[1..].to_owned());
        }
        operand = match operand.kind {
            OperandKind::Field(mut all) => {
                all.append(&mut fields);
                Operand {
                    pos,
                    kind: OperandKind::Field(all),
                }
            }
            OperandKind::Variable(mut all) => {
                all.append(&mut fields);
                Operand {
                    pos,
                    kind: OperandKind::Variable(all),
                }
            }
            ref constant if constant.is_constant() => {
                let text = quote::quote(&operand.to_string());
                return self.error(format!("unexpected . after term {text}"));
            }
            _ => Operand {
                pos,
                kind: OperandKind::Chain {
                    of: Box::new(operand),
                    fields,
                },
            },
        };
        Ok(Some(operand))
    }

    fn term(&mut self) -> Result<Option<Operand>, String> {
        let token = self.peek_non_space();
        let before = self.at;
        self.next();
        let kind = match token.kind {
            Kind::Identifier => match self.functions.find(&token.text) {
                Some(function) => OperandKind::Function(function),
                None => {
                    let name = quote::quote(&token.text);
                    return self.error(format!("function {name} not defined"));
                }
            },
            Kind::Dot => OperandKind::Dot,
            Kind::Nil => OperandKind::Nil,
            Kind::Variable => {
                if !self.scope.variables.iter().any(|name| *name == token.text) {
                    let name = quote::quote(&token.text);
                    return self.error(format!("undefined variable {name}"));
                }
                OperandKind::Variable(vec![token.text.to_string()])
            }
            Kind::Field => OperandKind::Field(vec![token.text[1..].to_owned()]),
            Kind::Bool => OperandKind::Bool(token.text == "true"),
            Kind::CharConstant => self.number(Number::parse_char(&token.text))?,
            Kind::Complex => self.number(Number::parse_complex(&token.text))?,
            Kind::Number => self.number(Number::parse(&token.text))?,
            Kind::LeftParen => {
                self.deeper()?;
                let pipe = self.pipeline("parenthesized pipeline", Kind::RightParen)?;
                self.depth -= 1;
                return Ok(Some(Operand {
                    pos: pipe.pos,
                    kind: OperandKind::Pipe(pipe),
                }));
            }
            Kind::String | Kind::RawString => OperandKind::String {
                quoted: token.text.to_string(),
                value: self.unquote(&token.text)?.into(),
            },
            _ => {
                self.at = before;
                return Ok(None);
            }
        };
        Ok(Some(Operand {
            pos: token.pos,
            kind,
        }))
    }

    fn number(&self, number: Result<Number, String>) -> Result<OperandKind, String> {
        match number {
            Ok(number) => Ok(OperandKind::Number(number)),
            Err(message) => self.error(message),
        }
    }
}
