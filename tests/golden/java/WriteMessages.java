// What Apache Avro for Java makes of the golden values: one line for each, "<name> <fingerprint> <message in hex>".
// The result is kept in messages.txt, so that no test needs Java. To write it again, in this folder:
//
//   mvn -q dependency:build-classpath -Dmdep.outputFile=classpath.txt
//   java -cp "$(cat classpath.txt)" WriteMessages.java .. > messages.txt && rm classpath.txt
//
// BinaryMessageEncoder writes the whole message, frame and body; the values are read from the golden *.json.
// With "blocks" after a name, maps and arrays are written in blocks with negative counts, as Avro allows.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.SchemaNormalization;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.EncoderFactory;
import org.apache.avro.message.BinaryMessageEncoder;

class WriteMessages {
  public static void main(String[] arguments) throws Exception {
    Path folder = Path.of(arguments[0]);
    List<Path> values;
    try (var files = Files.list(folder)) {
      values = files.filter(file -> file.getFileName().toString().matches("\\w+\\.\\d+(\\.bare)?\\.json")).sorted().toList();
    }
    for (Path file : values) {
      String name = file.getFileName().toString().replaceFirst("\\.json$", "");
      String version = name.replaceFirst("\\.bare$", "");
      Schema schema = new Schema.Parser().parse(folder.resolve(version + ".avsc").toFile());
      Object value = read(schema, new ObjectMapper().readTree(file.toFile()));
      String print = HexFormat.of().formatHex(SchemaNormalization.parsingFingerprint("CRC-64-AVRO", schema));
      ByteBuffer message = new BinaryMessageEncoder<>(GenericData.get(), schema).encode(value);
      System.out.println(name + " " + print + " " + hex(message));
      System.out.println(name + ":blocks " + print + " c301" + print + hex(ByteBuffer.wrap(blocks(schema, value))));
    }
  }

  private static byte[] blocks(Schema schema, Object value) throws Exception {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    BinaryEncoder encoder = new EncoderFactory().configureBlockSize(64).blockingBinaryEncoder(out, null);
    new GenericDatumWriter<>(schema).write(value, encoder);
    encoder.flush();
    return out.toByteArray();
  }

  private static String hex(ByteBuffer bytes) {
    byte[] copy = new byte[bytes.remaining()];
    bytes.get(copy);
    return HexFormat.of().formatHex(copy);
  }

  private static Object micros(Instant time) {
    return time.getEpochSecond() * 1_000_000 + time.getNano() / 1_000;
  }

  private static Object read(Schema schema, JsonNode json) {
    switch (schema.getType()) {
      case RECORD:
        GenericData.Record record = new GenericData.Record(schema);
        for (Schema.Field field : schema.getFields()) {
          record.put(field.pos(), read(field.schema(), json.get(field.name())));
        }
        return record;
      case UNION:
        return json.isNull() ? null : read(schema.getTypes().get(1), json);
      case ARRAY:
        List<Object> items = new ArrayList<>();
        json.forEach(item -> items.add(read(schema.getElementType(), item)));
        return items;
      case MAP:
        Map<String, Object> entries = new LinkedHashMap<>();
        json.fields().forEachRemaining(
            entry -> entries.put(entry.getKey(), read(schema.getValueType(), entry.getValue())));
        return entries;
      case LONG:
        return schema.getLogicalType() == null
            ? (Object) json.longValue()
            : micros(Instant.parse(json.textValue()));
      case INT:
        return json.intValue();
      case DOUBLE:
        return json.doubleValue();
      case BOOLEAN:
        return json.booleanValue();
      case STRING:
        return json.textValue();
      default:
        throw new IllegalArgumentException("no event has a " + schema.getType());
    }
  }
}
