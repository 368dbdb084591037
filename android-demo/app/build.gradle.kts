plugins {
    alias(libs.plugins.android.application)
}

android {
    namespace = "edgekit.demo"
    compileSdk = 36

    defaultConfig {
        applicationId = "edgekit.demo"
        minSdk = 26
        targetSdk = 36
        versionCode = 1
        versionName = "0.1.0"
        ndk { abiFilters += listOf("arm64-v8a", "x86_64") }
    }

    buildTypes {
        release {
            isMinifyEnabled = true
            proguardFiles(getDefaultProguardFile("proguard-android-optimize.txt"), "proguard-rules.pro")
        }
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_1_8
        targetCompatibility = JavaVersion.VERSION_1_8
    }

    androidResources {
        // Stored as they are, model files can be mapped into memory straight from the APK.
        noCompress += listOf("pte", "tflite")
    }

    testOptions {
        unitTests.all { it.useJUnitPlatform() }
    }
}

dependencies {
    implementation(project(":enhancer-core"))
    implementation(project(":enhancer-executorch"))
    implementation(project(":enhancer-tflite"))
    implementation(libs.coroutines.android)
    testImplementation(libs.kotlin.test.junit5)
    testRuntimeOnly(libs.junit.engine)
    testRuntimeOnly(libs.junit.launcher)
}
