package open.ecny.runtime;

/** An applet uses what the Java Card platform (Virtual Machine Specification 3.0.5, chapter 2) does not have. */
public final class NotJavaCard extends RuntimeException {
    private static final long serialVersionUID = 1L;

    NotJavaCard(String className, String what) {
        super(className.replace('/', '.') + ": " + what);
    }
}
