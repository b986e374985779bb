package open.ecny.runtime;

import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import javacard.security.ECPublicKey;
import javacard.security.Key;

/**
 * The content of one key object of the simulator, taken and put back whole. On a chip this is the key's own memory; in
 * jCardSim it is a few numbers and byte containers, which are reached by reflection.
 */
final class KeyState {
    private static final String CONTAINER = "com.licel.jcardsim.crypto.ByteContainer";

    private final Key key;
    private final List<Object> values;

    /** The key as it is now. */
    KeyState(Key key) {
        this(key, capture(key, new ArrayList<>()));
    }

    private KeyState(Key key, List<Object> values) {
        this.key = key;
        this.values = values;
    }

    void restore() {
        restore(key, values, 0);
    }

    /** Whether the key still holds this. */
    boolean isCurrent() {
        return new KeyState(key).sameAs(this);
    }

    private boolean sameAs(KeyState other) {
        for (int i = 0; i < values.size(); i++) {
            Object left = values.get(i);
            Object right = other.values.get(i);
            boolean same = left instanceof byte[] && right instanceof byte[]
                    ? Arrays.equals((byte[]) left, (byte[]) right)
                    : left == null ? right == null : left.equals(right);
            if (!same) {
                return false;
            }
        }
        return true;
    }

    /** The size of the secret or point itself, bytes: what a chip writes when the key is set. */
    static int bytes(Key key) {
        int bytes = (key.getSize() + 7) / 8;
        return key instanceof ECPublicKey ? 2 * bytes + 1 : bytes;
    }

    void write(DataOutputStream out) throws IOException {
        for (Object value : values) {
            if (value instanceof byte[]) {
                out.writeShort(((byte[]) value).length);
                out.write((byte[]) value);
            } else if (value == null) {
                out.writeShort(-1);
            } else {
                out.writeInt(value instanceof Boolean ? ((Boolean) value ? 1 : 0) : ((Number) value).intValue());
            }
        }
    }

    /** What {@link #write} has written for the same kind of key. */
    static KeyState read(Key key, DataInputStream in) throws IOException {
        List<Object> values = new ArrayList<>();
        read(key.getClass(), values, in);
        return new KeyState(key, values);
    }

    private static void read(Class<?> kind, List<Object> values, DataInputStream in) throws IOException {
        for (Field field : fields(kind)) {
            Class<?> type = field.getType();
            if (type == boolean.class) {
                values.add(in.readInt() != 0);
            } else if (type == byte.class) {
                values.add((byte) in.readInt());
            } else if (type == short.class) {
                values.add((short) in.readInt());
            } else if (type == byte[].class) {
                int length = in.readShort();
                values.add(length < 0 ? null : in.readNBytes(length));
            } else {
                read(type, values, in);
            }
        }
    }

    private static List<Object> capture(Object object, List<Object> values) {
        for (Field field : fields(object.getClass())) {
            Object value = Hooks.get(field, object);
            if (field.getType().isPrimitive()) {
                values.add(value);
            } else if (field.getType() == byte[].class) {
                values.add(value == null ? null : ((byte[]) value).clone());
            } else {
                capture(value, values);
            }
        }
        return values;
    }

    private static int restore(Object object, List<Object> values, int next) {
        int at = next;
        for (Field field : fields(object.getClass())) {
            Class<?> type = field.getType();
            if (type.isPrimitive()) {
                Hooks.set(field, object, values.get(at++));
            } else if (type == byte[].class) {
                Object value = values.get(at++);
                Hooks.set(field, object, value == null ? null : ((byte[]) value).clone());
            } else {
                at = restore(Hooks.get(field, object), values, at);
            }
        }
        return at;
    }

    /** Numbers, byte arrays and byte containers, the parent's first; anything else in a key is derived from them. */
    private static List<Field> fields(Class<?> kind) {
        return CACHE.get(kind);
    }

    private static final ClassValue<List<Field>> CACHE = new ClassValue<>() {
        @Override
        protected List<Field> computeValue(Class<?> kind) {
            List<Field> found = new ArrayList<>();
            if (kind.getSuperclass() != Object.class) {
                found.addAll(fields(kind.getSuperclass()));
            }
            for (Field field : kind.getDeclaredFields()) {
                Class<?> type = field.getType();
                boolean content = type.isPrimitive() || type == byte[].class || type.getName().equals(CONTAINER);
                if (content && !Modifier.isStatic(field.getModifiers())) {
                    field.setAccessible(true);
                    found.add(field);
                }
            }
            return found;
        }
    };
}
