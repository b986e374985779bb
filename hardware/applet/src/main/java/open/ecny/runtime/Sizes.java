package open.ecny.runtime;

/** What a value takes in the memory of a chip, in bytes. */
final class Sizes {
    static final int REFERENCE = 2;

    private Sizes() {}

    static int of(Class<?> type) {
        if (type == byte.class || type == boolean.class) {
            return 1;
        }
        if (type == short.class) {
            return Short.BYTES;
        }
        if (type == int.class) {
            return Integer.BYTES;
        }
        if (type.isPrimitive()) {
            throw new IllegalArgumentException("Java Card has no " + type);
        }
        return REFERENCE;
    }
}
