package open.ecny.runtime;

import java.io.IOException;
import java.io.InputStream;
import java.lang.reflect.Field;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** Loads the classes of one applet package for one card, instrumented; everything else comes from its parent. */
final class AppletLoader extends ClassLoader {
    private final String folder;
    private final Map<String, Class<?>> loaded = new TreeMap<>();
    private final Map<String, byte[]> digests = new TreeMap<>();
    private final List<String> mentioned = new ArrayList<>();
    private final List<String[]> names = new ArrayList<>();
    private final List<Field> fields = new ArrayList<>();

    /** @param mainClass whose package the applet is, as {@code open.ecny.purse.Purse} */
    AppletLoader(String mainClass) {
        super(AppletLoader.class.getClassLoader());
        folder = mainClass.substring(0, mainClass.lastIndexOf('.') + 1).replace('.', '/');
    }

    /** Whether a class (internal name) is the applet's own. */
    boolean isApplet(String internalName) {
        boolean own = internalName.startsWith(folder) && internalName.indexOf('/', folder.length()) < 0;
        String name = internalName.replace('/', '.');
        if (own && !mentioned.contains(name)) {
            mentioned.add(name);
        }
        return own;
    }

    /** Loads and initialises every class that one of the applet's classes names: a chip does so at installation. */
    void loadAll() {
        for (int next = 0; next < mentioned.size(); next++) {
            try {
                Class.forName(mentioned.get(next), true, this);
            } catch (ClassNotFoundException error) {
                throw new IllegalStateException(error);
            }
        }
    }

    /** The number by which instrumented code names this field. */
    int numberOf(String owner, String field) {
        names.add(new String[] {owner.replace('/', '.'), field});
        fields.add(null);
        return names.size() - 1;
    }

    Field field(int number) {
        Field field = fields.get(number);
        if (field == null) {
            field = resolve(names.get(number)[0], names.get(number)[1]);
            fields.set(number, field);
        }
        return field;
    }

    /** The classes that were loaded so far, by name. */
    Collection<Class<?>> classes() {
        return Collections.unmodifiableCollection(loaded.values());
    }

    /** SHA-256 over the class files that were loaded: which applet this is. */
    byte[] fingerprint() {
        MessageDigest digest = sha256();
        digests.values().forEach(digest::update);
        return digest.digest();
    }

    @Override
    protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
        if (!isApplet(name.replace('.', '/'))) {
            return super.loadClass(name, resolve);
        }
        synchronized (getClassLoadingLock(name)) {
            Class<?> found = loaded.get(name);
            if (found == null) {
                byte[] classFile = read(name);
                digests.put(name, sha256().digest(classFile));
                byte[] instrumented = Instrumentation.instrument(classFile, this);
                found = defineClass(name, instrumented, 0, instrumented.length);
                loaded.put(name, found);
            }
            return found;
        }
    }

    private byte[] read(String name) throws ClassNotFoundException {
        try (InputStream stream = getParent().getResourceAsStream(name.replace('.', '/') + ".class")) {
            if (stream == null) {
                throw new ClassNotFoundException(name);
            }
            return stream.readAllBytes();
        } catch (IOException error) {
            throw new ClassNotFoundException(name, error);
        }
    }

    private Field resolve(String owner, String name) {
        try {
            for (Class<?> type = loadClass(owner); type != null; type = type.getSuperclass()) {
                for (Field field : type.getDeclaredFields()) {
                    if (field.getName().equals(name)) {
                        field.setAccessible(true);
                        return field;
                    }
                }
            }
        } catch (ClassNotFoundException error) {
            throw new IllegalStateException(error);
        }
        throw new IllegalStateException(owner + " has no field " + name);
    }

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException(error);
        }
    }
}
