package open.ecny.runtime;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.reflect.Array;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.util.ArrayList;
import java.util.Collection;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import javacard.framework.JCSystem;
import javacard.framework.OwnerPIN;
import javacard.security.Key;
import javacard.security.KeyBuilder;
import javacard.security.KeyPair;

/**
 * Everything that an installed applet holds: its objects, arrays, static fields, and the keys and PINs of the API.
 *
 * <p>It is walked once, after installation, in an order that depends on the classes alone; since nothing is allocated
 * later, the same walk in another process finds the same objects. So its content is a byte string: snapshot, image on
 * disk and the hash of persistent memory are one thing.
 */
final class ObjectGraph {
    private final TransientMemoryOfChip volatileMemory;
    private final List<Object> nodes = new ArrayList<>();
    private final Map<Object, Integer> numbers = new IdentityHashMap<>();
    private final List<Field> statics = new ArrayList<>();
    private final Map<Key, KeyState> keys = new LinkedHashMap<>();

    ObjectGraph(Object applet, Collection<Class<?>> classes, TransientMemoryOfChip volatileMemory) {
        this.volatileMemory = volatileMemory;
        for (Class<?> type : classes) {
            for (Field field : type.getDeclaredFields()) {
                int modifiers = field.getModifiers();
                boolean constant = Modifier.isFinal(modifiers) && field.getType().isPrimitive();
                if (Modifier.isStatic(modifiers) && !constant) {
                    field.setAccessible(true);
                    statics.add(field);
                }
            }
        }
        visit(applet);
        statics.stream()
                .filter(field -> !field.getType().isPrimitive())
                .forEach(field -> visit(Hooks.get(field, null)));
        for (int next = 0; next < nodes.size(); next++) {
            follow(nodes.get(next));
        }
        nodes.stream().filter(this::isPersistentKey).forEach(key -> keys.put((Key) key, new KeyState((Key) key)));
    }

    private void visit(Object object) {
        if (object != null && numbers.putIfAbsent(object, nodes.size()) == null) {
            nodes.add(object);
        }
    }

    private void follow(Object object) {
        if (object instanceof Object[]) {
            for (Object element : (Object[]) object) {
                visit(element);
            }
        } else if (object instanceof KeyPair) {
            visit(((KeyPair) object).getPublic());
            visit(((KeyPair) object).getPrivate());
        } else {
            for (Field field : OWN_FIELDS.get(object.getClass())) {
                if (!field.getType().isPrimitive()) {
                    visit(Hooks.get(field, object));
                }
            }
        }
    }

    // Keys

    private boolean isPersistentKey(Object node) {
        return node instanceof Key && !isTransient((Key) node);
    }

    private static boolean isTransient(Key key) {
        switch (key.getType()) {
            case KeyBuilder.TYPE_AES_TRANSIENT_DESELECT:
            case KeyBuilder.TYPE_AES_TRANSIENT_RESET:
            case KeyBuilder.TYPE_DES_TRANSIENT_DESELECT:
            case KeyBuilder.TYPE_DES_TRANSIENT_RESET:
            case KeyBuilder.TYPE_HMAC_TRANSIENT_DESELECT:
            case KeyBuilder.TYPE_HMAC_TRANSIENT_RESET:
                return true;
            default:
                return false;
        }
    }

    /** The simulator zeroes a transient key on reset and still calls it initialised; on a chip it is gone. */
    void clearTransientKeys() {
        nodes.stream()
                .filter(one -> one instanceof Key && isTransient((Key) one))
                .forEach(one -> ((Key) one).clearKey());
    }

    /** Keys that changed in the last call of the API: each is one conditional write. */
    void findKeyWrites(PersistentMemory memory) {
        for (Map.Entry<Key, KeyState> entry : keys.entrySet()) {
            KeyState before = entry.getValue();
            if (before.isCurrent()) {
                continue;
            }
            KeyState after = new KeyState(entry.getKey());
            before.restore();
            memory.conditional(KeyState.bytes(entry.getKey()), () -> {
                before.restore();
                keys.put(entry.getKey(), before);
            });
            after.restore();
            entry.setValue(after);
        }
    }

    // Content

    /** The content of persistent memory. */
    byte[] content() {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (DataOutputStream out = new DataOutputStream(bytes)) {
            for (Field field : variable(statics)) {
                writeValue(out, field.getType(), Hooks.get(field, null));
            }
            for (Object node : nodes) {
                write(out, node);
            }
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        return bytes.toByteArray();
    }

    /** Makes persistent memory what {@link #content} has returned. Throws UncheckedIOException for other bytes. */
    void load(byte[] content, PersistentMemory memory) {
        try (DataInputStream in = new DataInputStream(new ByteArrayInputStream(content))) {
            for (Field field : variable(statics)) {
                Hooks.set(field, null, readValue(in, field.getType()));
            }
            for (Object node : nodes) {
                read(in, node, memory);
            }
            if (in.read() >= 0) {
                throw new IOException("content of another applet");
            }
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private void write(DataOutputStream out, Object node) throws IOException {
        if (volatileMemory.isTransient(node) != JCSystem.NOT_A_TRANSIENT_OBJECT) {
            return;
        }
        if (node instanceof byte[]) {
            out.write((byte[]) node);
        } else if (node.getClass().isArray()) {
            Class<?> element = node.getClass().getComponentType();
            for (int i = 0; i < Array.getLength(node); i++) {
                writeValue(out, element, Array.get(node, i));
            }
        } else if (isPersistentKey(node)) {
            new KeyState((Key) node).write(out);
        } else if (node instanceof OwnerPIN) {
            new PinState((OwnerPIN) node).write(out);
        } else {
            for (Field field : variable(OWN_FIELDS.get(node.getClass()))) {
                writeValue(out, field.getType(), Hooks.get(field, node));
            }
        }
    }

    private void read(DataInputStream in, Object node, PersistentMemory memory) throws IOException {
        if (volatileMemory.isTransient(node) != JCSystem.NOT_A_TRANSIENT_OBJECT) {
            return;
        }
        if (node instanceof byte[]) {
            memory.load((byte[]) node, in.readNBytes(((byte[]) node).length));
        } else if (node.getClass().isArray()) {
            Class<?> element = node.getClass().getComponentType();
            for (int i = 0; i < Array.getLength(node); i++) {
                Array.set(node, i, readValue(in, element));
            }
        } else if (isPersistentKey(node)) {
            KeyState state = KeyState.read((Key) node, in);
            state.restore();
            keys.put((Key) node, state);
        } else if (node instanceof OwnerPIN) {
            PinState.read((OwnerPIN) node, in).restore();
        } else {
            for (Field field : variable(OWN_FIELDS.get(node.getClass()))) {
                Hooks.set(field, node, readValue(in, field.getType()));
            }
        }
    }

    private void writeValue(DataOutputStream out, Class<?> type, Object value) throws IOException {
        if (type == boolean.class) {
            out.writeBoolean((Boolean) value);
        } else if (type == byte.class) {
            out.writeByte((Byte) value);
        } else if (type == short.class) {
            out.writeShort((Short) value);
        } else if (type == int.class) {
            out.writeInt((Integer) value);
        } else {
            Integer number = value == null ? Integer.valueOf(-1) : numbers.get(value);
            if (number == null) {
                throw new IOException("an object that was made after installation: " + value.getClass().getName());
            }
            out.writeShort(number);
        }
    }

    private Object readValue(DataInputStream in, Class<?> type) throws IOException {
        if (type == boolean.class) {
            return in.readBoolean();
        } else if (type == byte.class) {
            return in.readByte();
        } else if (type == short.class) {
            return in.readShort();
        } else if (type == int.class) {
            return in.readInt();
        }
        int number = in.readShort();
        if (number >= nodes.size()) {
            throw new IOException("content of another applet");
        }
        return number < 0 ? null : nodes.get(number);
    }

    /** Without those that never change: a final field says what it said at installation. */
    private static List<Field> variable(List<Field> fields) {
        return fields.stream().filter(one -> !Modifier.isFinal(one.getModifiers())).collect(Collectors.toList());
    }

    // Figures

    /** Bytes of fields, arrays, keys and PINs in persistent memory, without what a chip adds to each object. */
    int persistentBytes() {
        int sum = statics.stream().mapToInt(field -> Sizes.of(field.getType())).sum();
        for (Object node : nodes) {
            if (volatileMemory.isTransient(node) != JCSystem.NOT_A_TRANSIENT_OBJECT) {
                continue;
            }
            if (node.getClass().isArray()) {
                sum += Array.getLength(node) * Sizes.of(node.getClass().getComponentType());
            } else if (isPersistentKey(node)) {
                sum += KeyState.bytes((Key) node);
            } else if (node instanceof OwnerPIN) {
                sum += new PinState((OwnerPIN) node).bytes();
            } else {
                sum += OWN_FIELDS.get(node.getClass()).stream().mapToInt(field -> Sizes.of(field.getType())).sum();
            }
        }
        return sum;
    }

    /** Objects and arrays in persistent memory, those of the API included. */
    int persistentObjects() {
        return (int) nodes.stream()
                .filter(node -> volatileMemory.isTransient(node) == JCSystem.NOT_A_TRANSIENT_OBJECT)
                .count();
    }

    /** Bytes of transient arrays and keys that are cleared at {@code event}. */
    int transientBytes(byte event) {
        int sum = 0;
        for (Object node : nodes) {
            if (volatileMemory.isTransient(node) == event) {
                sum += Array.getLength(node) * Sizes.of(node.getClass().getComponentType());
            } else if (node instanceof Key && isTransient((Key) node) && event == JCSystem.CLEAR_ON_RESET) {
                sum += KeyState.bytes((Key) node);
            }
        }
        return sum;
    }

    /** Instance fields of the applet's own classes, the parent's first; none for objects of the API. */
    private static final ClassValue<List<Field>> OWN_FIELDS = new ClassValue<>() {
        @Override
        protected List<Field> computeValue(Class<?> kind) {
            List<Field> found = new ArrayList<>();
            if (!(kind.getClassLoader() instanceof AppletLoader)) {
                return found;
            }
            found.addAll(get(kind.getSuperclass()));
            for (Field field : kind.getDeclaredFields()) {
                if (!Modifier.isStatic(field.getModifiers()) && !field.isSynthetic()) {
                    field.setAccessible(true);
                    found.add(field);
                }
            }
            return found;
        }
    };
}
