"""Where a point stands in its protocol: node and index, table and register, or topic and path."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from vigie_protocols.points import ValueType
from vigie_protocols.yamlfile import wrong

Encoding = Literal["u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64", "string"]
WORDS: dict[str, int] = {"u16": 1, "i16": 1, "u32": 2, "i32": 2, "u64": 4, "i64": 4, "f32": 2, "f64": 4}
Order = Literal["big", "little"]
Variant = Literal[
    "Boolean",
    "SByte",
    "Byte",
    "Int16",
    "UInt16",
    "Int32",
    "UInt32",
    "Int64",
    "UInt64",
    "Float",
    "Double",
    "String",
]
_VARIANTS: dict[ValueType, Variant] = {
    ValueType.BOOL: "Boolean",
    ValueType.INT: "Int32",
    ValueType.UINT: "UInt32",
    ValueType.FLOAT: "Double",
    ValueType.ENUM: "Int32",
    ValueType.STRING: "String",
}


class _Address(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class OpcUaAddress(_Address):
    """A variable, or one element of an array variable, or one bit of either.

    node: ``s=NAME`` or plain ``NAME`` (a string identifier below the device's prefix, in the device's
    namespace), or a complete node id such as ``ns=0;i=2258``, taken as it is, or a browse path from the
    Objects folder such as ``/Station/3:Level``, which the server translates at each connection: names without a
    number are in the device's namespace, ``&/`` is a stroke inside a name.
    variant: the type on the wire, by default the usual one of the point's type.
    Many points in one array cost one node read; writing one element writes the whole array.
    """

    node: str = Field(min_length=1)
    index: int | None = Field(default=None, ge=0)
    bit: int | None = Field(default=None, ge=0, le=63)
    variant: Variant | None = None
    stride: int = 1

    def at(self, step: int, number: int) -> "OpcUaAddress":
        """The address of the ``step``-th of a repeated row."""
        index = None if self.index is None else self.index + step * self.stride
        return self.model_copy(update={"node": self.node.replace("{i}", str(number)), "index": index})

    def unfit(self, kind: ValueType, writable: bool) -> str | None:
        """Why a point of this type cannot stand here, or None."""
        if self.node.startswith("/") and (self.node.endswith("/") or "//" in self.node):
            return "a browse path with an empty name"
        if self.bit is not None and kind is not ValueType.BOOL:
            return "a bit needs a bool point"
        if self.bit is not None and self.variant is None:
            return "a bit needs the variant of the word it stands in"
        if self.bit is not None and self.variant in ("Boolean", "Float", "Double", "String"):
            return f"a {self.variant} has no bits"
        return None

    def wire(self, kind: ValueType) -> Variant:
        """The type on the wire."""
        return self.variant or _VARIANTS[kind]


class ModbusAddress(_Address):
    """A place in one of the four tables; addresses count from 0 as on the wire.

    value = raw * scale + offset; bit: one bit of a register as a bool; mask: those bits of a register,
    shifted down; length: registers of a string; byte_order, word_order: ``big`` is the standard's.
    stride: registers (or coils) from one of a repeated row to the next; bit_stride: bits likewise.
    """

    table: Literal["coil", "discrete", "holding", "input"] = "holding"
    address: int = Field(ge=0, le=65535)
    encoding: Encoding = "u16"
    byte_order: Order = "big"
    word_order: Order = "big"
    bit: int | None = Field(default=None, ge=0, le=15)
    mask: int | None = Field(default=None, ge=1, le=0xFFFF)
    length: int | None = Field(default=None, ge=1, le=125)
    scale: float = 1.0
    offset: float = 0.0
    stride: int = 1
    bit_stride: int = 0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.encoding == "string") != (self.length is not None):
            raise wrong("length goes with encoding string and only with it", "Add or remove it.", "length")
        if self.scale == 0:
            raise wrong("a scale of 0", "Give value = raw * scale + offset.", "scale")
        if self.bit is not None and self.mask is not None:
            raise wrong("bit and mask exclude each other", "Keep one.", "mask")
        if (self.bit is not None or self.mask is not None) and self.encoding != "u16":
            raise wrong("bit and mask are for u16", "Remove the encoding.", "encoding")
        if self.address + self.words > 65536:
            raise wrong("reaches beyond register 65535", "Check the address.", "address")
        return self

    @property
    def bits_table(self) -> bool:
        """True for coils and discrete inputs."""
        return self.table in ("coil", "discrete")

    @property
    def words(self) -> int:
        """Registers (or coils) this point takes."""
        if self.table in ("coil", "discrete"):
            return 1
        return self.length or WORDS[self.encoding]

    def at(self, step: int, number: int) -> "ModbusAddress":
        """The address of the ``step``-th of a repeated row."""
        address, bit = self.address, self.bit
        if bit is not None and self.bit_stride:
            carry, bit = divmod(bit + step * self.bit_stride, 16)
            address += carry
        else:
            address += step * self.stride
        return self.model_copy(update={"address": address, "bit": bit})

    def unfit(self, kind: ValueType, writable: bool) -> str | None:
        """Why a point of this type cannot stand here, or None."""
        if writable and self.table in ("discrete", "input"):
            return f"nothing can be written to the {self.table} table"
        if self.bits_table and kind is not ValueType.BOOL:
            return f"the {self.table} table holds only bool"
        if self.bit is not None and kind is not ValueType.BOOL:
            return "a bit needs a bool point"
        if (self.encoding == "string") != (kind is ValueType.STRING):
            return f"encoding {self.encoding} does not carry a {kind.value}"
        if self.encoding in ("f32", "f64") and kind is not ValueType.FLOAT:
            return f"encoding {self.encoding} does not carry a {kind.value}"
        if kind in (ValueType.BOOL, ValueType.ENUM) and (self.scale != 1 or self.offset != 0):
            return f"a {kind.value} is not scaled"
        if kind in (ValueType.INT, ValueType.UINT) and not (
            self.scale.is_integer() and self.offset.is_integer()
        ):
            return "a whole number takes whole scale and offset"
        return None


class MqttAddress(_Address):
    """A value in a message. Topics are relative to the device's prefix.

    path: dotted way into a JSON payload, whole numbers index arrays (``lamps.3.level``); None: the payload
    is the value itself, as text. command_topic, command_path: where a written value goes; None for a path
    sends the bare value. Values of one command topic written together travel in one message.
    """

    topic: str = Field(min_length=1)
    path: str | None = None
    command_topic: str | None = None
    command_path: str | None = None
    stride: int = Field(default=1, description="step of {k}, which counts from 0, in a repeated row")

    def at(self, step: int, number: int) -> "MqttAddress":
        """The address of the ``step``-th of a repeated row: ``{i}`` its number, ``{k}`` its place from 0."""

        def fill(text: str | None) -> str | None:
            return text and text.replace("{i}", str(number)).replace("{k}", str(step * self.stride))

        return self.model_copy(
            update={
                "topic": fill(self.topic),
                "path": fill(self.path),
                "command_topic": fill(self.command_topic),
                "command_path": fill(self.command_path),
            }
        )

    def unfit(self, kind: ValueType, writable: bool) -> str | None:
        """Why a point of this type cannot stand here, or None."""
        if writable and self.command_topic is None:
            return "a writable point needs a command_topic"
        return None


Address = OpcUaAddress | ModbusAddress | MqttAddress
